import { gatewayLog, logOf } from "@sluice/contracts";
import { describe, type Checkpoints, type Signed } from "./checkpoints.ts";
import { Emitters, type EmitterReport } from "./emitters.ts";
import type { Attestation, Item, LogSource } from "./entry.ts";
import { Erasures } from "./erasures.ts";
import { LogCheck, tileWidth } from "./log-check.ts";
import { events, type ProblemKind, type Problems } from "./problem.ts";
import { TileCheck } from "./tile-check.ts";

/** What was found out of one log. */
export interface LogReport {
  readonly log: string;
  /** Leaves that are there, and how many of these are hashes only. */
  readonly size: number;
  readonly pruned: number;
  /** In hex; absent where events are missing. */
  readonly root?: string;
  /** The largest checkpoint that fits; what lies behind it is covered by none. */
  readonly checkpoint?: {
    readonly size: number;
    readonly from: string;
    readonly isVerified: boolean;
    readonly at?: number;
  };
}

export interface Report {
  readonly logs: readonly LogReport[];
  /** Undefined where only some logs were read: what an emitter tells is in many of them. */
  readonly emitters: EmitterReport | undefined;
  readonly warnings: readonly string[];
}

export interface VerificationOptions {
  readonly problems: Problems;
  readonly checkpoints: Checkpoints;
  /** Whether a log without a checkpoint that counts is wrong. */
  readonly mustBeSigned: boolean;
  /** Is told how many entries were read. */
  readonly onProgress?: (log: string, entries: number) => void;
}

/** Checks one log after the other, and at the end what concerns all of them. */
export class Verification {
  readonly #options: VerificationOptions;
  readonly #emitters: Emitters;
  readonly #warnings: string[] = [];
  readonly erasures = new Erasures();
  readonly #logs: LogReport[] = [];
  /** By log, up to where actions say that retention removed its events. */
  readonly #retained = new Map<string, number>();

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#emitters = new Emitters(options.problems);
  }

  async verify(source: LogSource): Promise<void> {
    const { log } = source;
    const check = new LogCheck(log, this.#options.problems);
    const tiles = source.tile === undefined ? undefined : new TileCheck(this.#options.problems);
    check.onSubtree = tiles?.take;
    const attested = new Attested(source, this.#options.checkpoints.of(log));
    await attested.read();
    for await (const batch of source.items()) {
      for (const item of batch) {
        if (check.take(item)) this.#note(log, item);
        if (source.tile !== undefined) this.#requireTile(log, item);
        while (attested.next <= check.size) await this.#attest(check, attested);
      }
      await tiles?.compare(source);
      this.#options.onProgress?.(log, check.size);
    }
    check.end();
    await this.#requireAll(check, attested);
    this.#logs.push(reportOf(check, attested));
  }

  /** What concerns all logs; `only` is the one that was asked for, where it was one. */
  end(only: string | undefined): Report {
    const { problems, checkpoints } = this.#options;
    const seen = new Set(this.#logs.map(({ log }) => log));
    for (const log of only === undefined ? checkpoints.logs() : [only]) {
      const newest = checkpoints.of(log).at(-1);
      if (seen.has(log) || newest === undefined || newest.size === 0) continue;
      problems.add({
        kind: "cut",
        log,
        index: 0,
        last: newest.size - 1,
        text: `the log is not there, but ${describe(newest)} has ${newest.size} leaves: ${events(0, newest.size)} are gone`,
      });
    }
    for (const { log, pruned } of this.#logs) {
      const told = this.#retained.get(log) ?? 0;
      if (pruned <= told) continue;
      problems.add({
        kind: "retention",
        log,
        index: told,
        last: pruned - 1,
        text: `${events(told, pruned)} are gone, and no action audit.retention says so`,
      });
    }
    const removed = this.#logs.reduce((sum, { pruned }) => sum + pruned, 0);
    const hasWords = only === undefined && seen.has(gatewayLog);
    const warnings = [...this.#warnings, ...this.erasures.end(problems)];
    return { logs: this.#logs, emitters: hasWords ? this.#emitters.report(removed) : undefined, warnings };
  }

  #note(log: string, item: Item): void {
    if ("hash" in item) return;
    this.#emitters.take(log, item.index, item.facts);
    this.erasures.take(log, item);
    const { action, tenant, result, subject } = item.facts;
    if (action !== "audit.retention" || (result !== "begun" && result !== "done")) return;
    const last = /^\d+-(\d+)$/.exec(subject ?? "")?.[1];
    const of = logOf(tenant);
    if (last !== undefined) this.#retained.set(of, Math.max(this.#retained.get(of) ?? 0, Number(last) + 1));
  }

  #requireTile(log: string, item: Item): void {
    if ("hash" in item || item.tile !== undefined || (item.index + 1) % tileWidth !== 0) return;
    const from = item.index + 1 - tileWidth;
    this.#options.problems.add({
      kind: "tile",
      log,
      index: from,
      last: item.index,
      text: `the tile of the ${events(from, item.index + 1)} is missing`,
    });
  }

  async #attest(check: LogCheck, attested: Attested): Promise<void> {
    const { head, signed } = await attested.take();
    if (head !== undefined) check.head(head, attested.isSignedAhead || signed.length > 0);
    for (const one of signed) check.signed(one, describe(one));
  }

  /** What is attested beyond what is there, and what is there beyond. */
  async #requireAll({ log, size }: LogCheck, attested: Attested): Promise<void> {
    const { problems, mustBeSigned, checkpoints } = this.#options;
    const signed = attested.newestSigned;
    const headSize = (await attested.lastHead())?.size ?? 0;
    const add = (kind: ProblemKind, [from, to]: readonly [number, number], text: string) =>
      problems.add({ kind, log, index: from, last: to - 1, text });
    const isOlder = attested.isOlderExport(size);
    if (isOlder && signed !== undefined) this.#warnings.push(older(log, size, signed));
    const isCut = !isOlder && signed !== undefined && signed.size > size;
    const largest = Math.max(isCut ? signed.size : 0, headSize);
    if (largest > size) {
      const who = isCut ? `${describe(signed)} has ${signed.size}` : `its head has ${largest}`;
      const backup =
        isCut && attested.hasHeads && headSize <= size
          ? ", and the store itself knows nothing of them, as after going back to an old backup"
          : "";
      add("cut", [size, largest], `the tree has ${size} leaves but ${who}: ${events(size, largest)} are gone${backup}`);
    }
    if (attested.hasHeads && size > headSize)
      add(
        "outside",
        [headSize, size],
        `${events(headSize, size)} are in the table and not in the tree: its newest head has ${headSize}`,
      );
    if (mustBeSigned && size > 0 && signed === undefined)
      add("unsigned", [0, size], unsigned(checkpoints.strangersOf(log)));
  }
}

function older(log: string, size: number, signed: Signed): string {
  return `${log}: the export ends before ${describe(signed)}, which has ${signed.size} leaves: it was made earlier, or is cut behind event ${size - 1}. Up to there it is whole`;
}

function unsigned(strangers: readonly string[]): string {
  const why =
    strangers.length === 0
      ? "The signer signs within seconds: does it run?"
      : `Those that are there say that ${strangers.join(", ")} signed them`;
  return `no checkpoint that the key signed: nothing attests these events. ${why}`;
}

function reportOf(check: LogCheck, attested: Attested): LogReport {
  const root = check.root();
  const fitting = attested.signed.findLast(({ size }) => size === check.attested);
  return {
    log: check.log,
    size: check.size,
    pruned: check.pruned,
    ...(root !== undefined && { root: root.toString("hex") }),
    ...(fitting !== undefined && {
      checkpoint: {
        size: fitting.size,
        from: fitting.from,
        isVerified: fitting.isVerified,
        ...(fitting.at !== undefined && { at: fitting.at }),
      },
    }),
  };
}

/** All roots that are attested of a log, by size. */
class Attested {
  readonly signed: readonly Signed[];
  readonly hasHeads: boolean;
  readonly #batches: AsyncIterator<readonly Attestation[]> | undefined;
  #heads: readonly Attestation[] = [];
  #at = 0;
  #lastHead: Attestation | undefined;
  #signedTaken = 0;

  constructor(source: LogSource, signed: readonly Signed[]) {
    this.signed = signed.filter(({ size }) => size > 0);
    this.hasHeads = source.heads !== undefined;
    this.#batches = source.heads?.()[Symbol.asyncIterator]();
  }

  /** The size of the next one. */
  get next(): number {
    const head = this.#heads[this.#at]?.size ?? Number.POSITIVE_INFINITY;
    return Math.min(head, this.signed[this.#signedTaken]?.size ?? Number.POSITIVE_INFINITY);
  }

  get isSignedAhead(): boolean {
    return this.#signedTaken < this.signed.length;
  }

  get newestSigned(): Signed | undefined {
    return this.signed.at(-1);
  }

  /**
   * Whether an export ends where a checkpoint by a known key ends, and what is signed beyond came from elsewhere: it is whole up to its end. A store
   * that has less than was signed is cut.
   */
  isOlderExport(size: number): boolean {
    const beyond = this.signed.filter((one) => one.size > size);
    const isWhole = this.signed.some((one) => one.size === size && one.isVerified);
    return !this.hasHeads && isWhole && beyond.length > 0 && beyond.every(({ isOwn }) => !isOwn);
  }

  /** Makes `next` known. */
  async read(): Promise<void> {
    while (this.#batches !== undefined && this.#at >= this.#heads.length) {
      const { done, value } = await this.#batches.next();
      if (done === true) return;
      this.#heads = value;
      this.#at = 0;
    }
  }

  /** Those of the next size. */
  async take(): Promise<{ head: Attestation | undefined; signed: readonly Signed[] }> {
    const size = this.next;
    const head = this.#heads[this.#at];
    const isHead = head?.size === size;
    if (isHead) {
      this.#lastHead = head;
      this.#at += 1;
      await this.read();
    }
    const from = this.#signedTaken;
    while (this.signed[this.#signedTaken]?.size === size) this.#signedTaken += 1;
    return { head: isHead ? head : undefined, signed: this.signed.slice(from, this.#signedTaken) };
  }

  /** The newest of all heads, after all others were taken. */
  async lastHead(): Promise<Attestation | undefined> {
    while (this.#heads[this.#at] !== undefined) {
      this.#lastHead = this.#heads.at(-1);
      this.#at = this.#heads.length;
      await this.read();
    }
    return this.#lastHead;
  }
}
