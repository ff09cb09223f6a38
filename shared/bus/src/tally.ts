/** So many that are alike, from the first to the last of them (Unix milliseconds). */
export interface Counted<Group> {
  readonly group: Group;
  readonly count: number;
  readonly at: number;
  readonly until: number;
}

export interface TallyOptions<Group> {
  /** How long what is alike is gathered. */
  readonly everyMs: number;
  /** Kinds that are told apart within this time; of what comes beyond, only what `coarse` leaves. */
  readonly mostGroups: number;
  readonly coarse: (group: Group) => Group;
  readonly tell: (counted: Counted<Group>) => void;
  /** Whether the first of a kind is left to who adds it, to be told at once; those after it are in the next summary. */
  readonly leavesFirst?: boolean;
  readonly now?: () => number;
}

interface Entry<Group> {
  readonly group: Group;
  count: number;
  at: number;
  until: number;
}

/** Counts what anybody can cause as often as he likes, and tells of it now and then: a flood costs a few events. */
export class Tally<Group extends object> implements Disposable {
  readonly #options: TallyOptions<Group>;
  readonly #entries = new Map<string, Entry<Group>>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: TallyOptions<Group>) {
    this.#options = options;
    this.#timer = setInterval(() => this.#summarize(), options.everyMs).unref();
  }

  /** True for one that is left to the caller. The order of the group's members counts. */
  add(group: Group): boolean {
    const { mostGroups, coarse, leavesFirst = false, now = Date.now } = this.#options;
    const kept = this.#entries.has(JSON.stringify(group)) || this.#entries.size < mostGroups ? group : coarse(group);
    const key = JSON.stringify(kept);
    const at = now();
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, (entry = { group: kept, count: 0, at, until: at }));
      if (leavesFirst) return true;
    }
    if (entry.count++ === 0) entry.at = at;
    entry.until = at;
    return false;
  }

  /** Tells what was counted since. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#summarize();
  }

  #summarize(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.count > 0) this.#options.tell({ ...entry });
      if (entry.count === 0 || this.#options.leavesFirst !== true) this.#entries.delete(key);
      entry.count = 0;
    }
  }
}
