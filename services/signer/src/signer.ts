import type { CheckpointBucket } from "@sluice/bus";
import { Fault, type Checkpoint } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { Acceptance } from "./acceptance.ts";
import { isGenuine, signCheckpoint, type Head } from "./checkpoint.ts";
import { LogCheck, Refusal, type Base } from "./log-check.ts";
import type { NoteSigner } from "./note.ts";
import type { SignerMetrics } from "./signer-metrics.ts";
import type { TreeStore } from "./tree-store.ts";

export interface SignerOptions {
  readonly trees: TreeStore;
  /** What all replicas signed last. */
  readonly bucket: CheckpointBucket;
  readonly key: NoteSigner;
  /** Of all logs: that of one is `<origin>/<log>`. */
  readonly origin: string;
  readonly accepted: readonly Acceptance[];
  readonly metrics: SignerMetrics;
  readonly log: Log;
  /** Gets the newest checkpoint of each log, again and again. */
  readonly publish: (checkpoint: Checkpoint) => void;
  /** Hears of each refusal once. */
  readonly onRefusal: (log: string, refusal: Refusal) => void;
}

const logsAtOnce = 4;
/** Of those in Postgres so many are looked through for one that is genuine. */
const lookedThrough = 64;

/** Signs of each log the newest tree, where it is an extension of the one that was signed before; else nothing more of that log. */
export class Signer {
  readonly #options: SignerOptions;
  readonly #check: LogCheck;
  readonly #refused = new Map<string, Refusal>();
  /** The size up to which each log's tree was computed by this process. */
  readonly #proven = new Map<string, number>();
  /** Logs that the bucket has nothing of, as Postgres has them. */
  readonly #stored = new Map<string, Checkpoint | undefined>();

  constructor(options: SignerOptions) {
    this.#options = options;
    this.#check = new LogCheck(options.trees);
    options.metrics.refusing(() => this.#refused.size);
  }

  /** Logs of which nothing is signed any more, and why. */
  get refused(): ReadonlyMap<string, Refusal> {
    return this.#refused;
  }

  /** Looks at every log. @throws where Postgres can't be read */
  async round(): Promise<void> {
    const { trees, bucket } = this.#options;
    const heads = await trees.heads();
    const logs = [...new Set([...heads.keys(), ...bucket.held.keys()])][Symbol.iterator]();
    const work = async () => {
      for (const log of logs) await this.#look(log, heads.get(log));
    };
    await Promise.all(Array.from({ length: logsAtOnce }, work));
  }

  async #look(log: string, head: Head | undefined): Promise<void> {
    try {
      const signed = await this.#signed(log);
      const base = signed && { size: signed.size, root: Buffer.from(signed.root, "hex") };
      const isSigned = head !== undefined && base?.size === head.size && base.root.equals(head.root);
      if (!isSigned || this.#proven.get(log) !== head.size) await this.#prove(log, head, base);
      if (head === undefined) return;
      this.#proven.set(log, head.size);
      this.#done(log, isSigned && signed !== undefined ? signed : await this.#sign(head));
    } catch (error) {
      if (error instanceof Refusal) this.#refuse(log, error);
      else if (!(error instanceof Fault && error.kind === "conflict")) throw error;
    }
  }

  async #signed(log: string): Promise<Checkpoint | undefined> {
    const held = this.#options.bucket.held.get(log);
    if (held !== undefined) return held;
    if (!this.#stored.has(log)) {
      const { trees, origin, key } = this.#options;
      const kept = await trees.checkpoints(log, lookedThrough);
      const genuine = kept.find((checkpoint) => isGenuine(checkpoint, origin, key.verifierKey));
      if (genuine !== undefined)
        this.#options.log.warn({ log, size: genuine.size }, "what was signed last is taken from Postgres");
      this.#stored.set(log, genuine);
    }
    return this.#stored.get(log);
  }

  /** Where the tree does not go on from what was signed, an operator may have said what it goes on from. @throws Refusal */
  async #prove(log: string, head: Head | undefined, signed: Base | undefined): Promise<void> {
    try {
      await this.#check.prove(log, head, signed);
    } catch (error) {
      this.#check.forget(log);
      const accepted = this.#options.accepted.find((acceptance) => acceptance.log === log);
      if (!(error instanceof Refusal) || accepted === undefined) throw error;
      await this.#check.prove(log, head, accepted);
      this.#options.log.warn({ log, size: accepted.size }, "this tree is signed because SIGNER_ACCEPT says so");
    }
  }

  async #sign(head: Head): Promise<Checkpoint> {
    const { key, origin, bucket, metrics } = this.#options;
    const checkpoint = signCheckpoint(key, { origin, head, at: Date.now() });
    await bucket.put(checkpoint);
    metrics.signed.inc();
    return checkpoint;
  }

  #done(log: string, checkpoint: Checkpoint): void {
    if (this.#refused.delete(log)) this.#options.log.info({ log }, "the tree is signed again");
    this.#options.publish(checkpoint);
  }

  #refuse(log: string, refusal: Refusal): void {
    const { reason, head } = refusal;
    this.#options.metrics.refusals.inc({ reason });
    this.#proven.delete(log);
    const before = this.#refused.get(log);
    this.#refused.set(log, refusal);
    if (before?.reason === reason) return;
    const { held } = this.#options.bucket;
    this.#options.log.error(
      { log, reason, size: head?.size ?? 0, root: head?.root.toString("hex"), signed: held.get(log)?.size },
      "the tree is not what comes after the one that was signed: nothing of this log is signed any more (docs/audit.md)",
    );
    this.#options.onRefusal(log, refusal);
  }
}
