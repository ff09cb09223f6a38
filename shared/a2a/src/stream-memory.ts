/**
 * What the events of one stream have told so far: 0.1 numbers artifacts where later revisions name them, and leaves out whose
 * context a task is in. Without one, each event stands for itself.
 */
export class StreamMemory {
  readonly #indexes = new Map<string, number>();
  #context: string | undefined;
  #hasBegun = false;

  /** The number of an artifact: by order of appearance, but for those that were made of a number. */
  indexOf(artifactId: string): number {
    const numbered = /^artifact-(\d{1,9})$/.exec(artifactId)?.[1];
    if (numbered !== undefined) return Number(numbered);
    const known = this.#indexes.get(artifactId);
    if (known !== undefined) return known;
    const index = this.#indexes.size;
    this.#indexes.set(artifactId, index);
    return index;
  }

  /** The context that was told last. */
  get context(): string | undefined {
    return this.#context;
  }

  heardOf(context: string): void {
    this.#context = context;
  }

  /** Whether its reader has had an event. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  begin(): void {
    this.#hasBegun = true;
  }
}
