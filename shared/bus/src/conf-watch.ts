import type { KvWatchEntry } from "@nats-io/kv";
import { confBucket, decodeJson, sectionSchemas, type SectionName, type Sections } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { commitKey, HeldPieces, type Commit, type SectionMap } from "./conf-pieces.ts";
import { followBucket, type Reading } from "./kv-follow.ts";

type OnChange<Name extends SectionName> = (tenants: SectionMap<Name>) => void | Promise<void>;

/** Reads this service's part of the configuration and follows it. Resolves after the first complete reading. */
export function watchSection<Name extends SectionName>(
  bus: Bus,
  section: Name,
  onChange: OnChange<Name>,
): Promise<AsyncDisposable> {
  const begin = () => new SectionReading(section, onChange);
  return followBucket(bus, { bucket: confBucket, key: `${section}.*`, begin });
}

class SectionReading<Name extends SectionName> implements Reading {
  readonly #section: Name;
  readonly #onChange: OnChange<Name>;
  readonly #pieces = new HeldPieces();
  #commit: Commit | undefined;

  constructor(section: Name, onChange: OnChange<Name>) {
    this.#section = section;
    this.#onChange = onChange;
  }

  async take(entry: KvWatchEntry): Promise<boolean> {
    const name = entry.key.slice(this.#section.length + 1);
    if (name === commitKey) this.#commit = decodeJson<Commit>(entry.value);
    else if (entry.operation === "PUT") this.#pieces.put(name, entry.value);
    else this.#pieces.delete(name);
    const whole = this.#commit && this.#pieces.take(this.#commit);
    if (whole === undefined) return false;
    this.#commit = undefined;
    await this.#onChange(new Map([...whole].map(([tenant, bytes]) => [tenant, this.#read(bytes)])));
    return true;
  }

  #read(value: Uint8Array): Sections[Name] {
    return sectionSchemas[this.#section].parse(decodeJson(value)) as Sections[Name];
  }
}
