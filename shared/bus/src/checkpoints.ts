import { Kvm, type Bucket, type KvWatchEntry } from "@nats-io/kv";
import { checkpointBucket, checkpointMarker, decodeJson, encodeJson, Fault, type Checkpoint } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { followBucket, type Reading } from "./kv-follow.ts";
import { isLostRace } from "./lost-race.ts";

/** What the replicas of the signer know together: the newest checkpoint of each log. The signer's alone. */
export class CheckpointBucket implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #held = new Map<string, Checkpoint>();
  readonly #revisions = new Map<string, number>();
  #bucket: Promise<Bucket> | undefined;
  #following: AsyncDisposable | undefined;

  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Resolves when all there is has been read; from then on `held` follows it. */
  static async open(bus: Bus): Promise<CheckpointBucket> {
    const bucket = new CheckpointBucket(bus);
    const begin = () => bucket.#begin();
    bucket.#following = await followBucket(bus, { bucket: checkpointBucket, key: ">", begin });
    return bucket;
  }

  /** By log. */
  get held(): ReadonlyMap<string, Checkpoint> {
    return this.#held;
  }

  /**
   * Takes the place of what is held of its log.
   * @throws Fault `conflict` where another replica was faster; `unavailable` where it is not known to be stored
   */
  async put(checkpoint: Checkpoint): Promise<void> {
    if (!this.#bus.connected) throw new Fault("unavailable", "the message bus is not reachable");
    try {
      this.#bucket ??= new Kvm(this.#bus.nats).open(checkpointBucket) as Promise<Bucket>;
      const previousSeq = this.#revisions.get(checkpoint.log) ?? 0;
      const revision = await (await this.#bucket).put(checkpoint.log, encodeJson(checkpoint), { previousSeq });
      if (revision < (this.#revisions.get(checkpoint.log) ?? 0)) return;
      this.#revisions.set(checkpoint.log, revision);
      this.#held.set(checkpoint.log, checkpoint);
    } catch (error) {
      if (isLostRace(error)) throw new Fault("conflict", "another replica has signed meanwhile");
      this.#bucket = undefined;
      throw new Fault("unavailable", "what was signed can't be kept", { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#following?.[Symbol.asyncDispose]();
  }

  /** What was known stays so, whatever became of the bucket. */
  #begin(): Reading {
    this.#revisions.clear();
    return {
      take: (entry) => {
        this.#take(entry);
        return entry.delta === 0;
      },
    };
  }

  #take({ key, operation, revision, value }: KvWatchEntry): void {
    if (key === checkpointMarker || revision < (this.#revisions.get(key) ?? 0)) return;
    this.#revisions.set(key, revision);
    if (operation !== "PUT") return;
    const checkpoint = decodeJson<Checkpoint>(value);
    const known = this.#held.get(key);
    if (known === undefined || known.at <= checkpoint.at) this.#held.set(key, checkpoint);
  }
}
