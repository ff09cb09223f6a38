/** Stands for a number that a double cannot hold: whoever reads it would decide about another number. */
const inexact = Symbol("a number that cannot be read exactly");

/**
 * The members of an object in arguments. What a lenient reader behind could take for something else cannot be read: a member
 * whose name another one has in other letters (`Path` beside, or in place of, `path`), and a number that a double cannot hold.
 */
export class Members extends Map<string, unknown> {
  /** Names as readers see them that do not tell letters by case; undefined for what is the name of several. */
  #folded: Map<string, string | undefined> | undefined;
  #isInexact = false;

  addInexact(name: string): void {
    this.#isInexact = true;
    this.set(name, inexact);
  }

  override get(name: string): unknown {
    this.#require(name);
    const value = super.get(name);
    if (value === inexact) throw cannotBeRead(name);
    return value;
  }

  override has(name: string): boolean {
    this.#require(name);
    return super.has(name);
  }

  override entries(): MapIterator<[string, unknown]> {
    if (this.#isInexact) throw cannotBeRead("a member");
    return super.entries();
  }

  override [Symbol.iterator](): MapIterator<[string, unknown]> {
    return this.entries();
  }

  #require(name: string): void {
    this.#folded ??= foldedNames(this.keys());
    const folded = typeof name === "string" ? fold(name) : undefined;
    if (folded !== undefined && this.#folded.has(folded) && this.#folded.get(folded) !== name)
      throw new Error(`the arguments spell "${name}" in other letters too`);
  }
}

/** CEL knows maps by their constructor. */
Object.defineProperty(Members.prototype, "constructor", { value: Map });

/** Makes an element that whoever reads it fails. */
export function spoil(list: unknown[], index: number): void {
  Object.defineProperty(list, index, {
    enumerable: true,
    get: () => {
      throw cannotBeRead("an element");
    },
  });
}

function foldedNames(names: Iterable<string>): Map<string, string | undefined> {
  const all = new Map<string, string | undefined>();
  for (const name of names) {
    const folded = fold(name);
    all.set(folded, all.has(folded) ? undefined : name);
  }
  return all;
}

/** Letters without case; those too whose other case is in another script, such as the sign of Kelvin. */
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}

function cannotBeRead(what: string): Error {
  return new Error(`${what} of the arguments is a number that cannot be read exactly`);
}
