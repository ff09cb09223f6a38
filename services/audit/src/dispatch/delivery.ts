import { Away, lastOf, reasonOf, Refusal, type Batch, type Sink, type Written } from "../sinks/sink.ts";
import { BackOff, type Pauses } from "./pauses.ts";

export interface DeliveryOptions {
  readonly log: string;
  readonly sink: Sink;
  readonly pauses: Pauses;
  /** The destination has all up to and with this index. */
  readonly taken: (count: number, lastIndex: number) => Promise<void>;
  /** Resolves once the record is kept elsewhere. */
  readonly bury: (record: Written, reason: string) => Promise<void>;
  readonly failed: (reason: string, isAway: boolean) => void;
}

/** A batch is refused this often before it is halved. */
const triesOfWhole = 3;
/** After so many records that were refused one by one, and none taken, it is the destination that is wrong. */
const mostBuried = 10;

/** Brings batches to one destination, one at a time and in their order. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #backOff: BackOff;
  #buried = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#backOff = new BackOff(options.pauses);
  }

  /**
   * Tries until the destination has each record or, where it refuses that one, the record is buried. For ever, but for the signal.
   * @returns whether that is so
   */
  async deliver(records: Batch["records"], stopping: AbortSignal, abandon: AbortSignal): Promise<boolean> {
    const parts: Batch["records"][] = [records];
    for (let refusals = 0; parts.length > 0;) {
      if (stopping.aborted) return false;
      const [part] = parts as [Batch["records"]];
      try {
        await this.#send(part, abandon);
        parts.shift();
        refusals = 0;
      } catch (error) {
        const isRefusal = error instanceof Refusal;
        this.#options.failed(reasonOf(error), !isRefusal);
        if (isRefusal && part === records && ++refusals < triesOfWhole) await this.#backOff.wait(stopping);
        else if (isRefusal && part.length > 1) parts.splice(0, 1, ...halves(part));
        else if (isRefusal && (await this.#isBuried(part[0], error))) parts.shift();
        else await this.#backOff.wait(stopping, error instanceof Away ? error.retryAfterMs : undefined);
      }
    }
    return true;
  }

  async #send(part: Batch["records"], abandon: AbortSignal): Promise<void> {
    const { log, sink, taken } = this.#options;
    await sink.send({ log, records: part }, abandon);
    this.#backOff.succeeded();
    this.#buried = 0;
    await taken(part.length, lastOf(part).index);
  }

  /** Whether the record is out of the way. */
  async #isBuried(record: Written, refusal: Refusal): Promise<boolean> {
    const { bury, failed, taken } = this.#options;
    if (this.#buried >= mostBuried) {
      failed("it refuses every record", true);
      return false;
    }
    try {
      await bury(record, refusal.message);
      this.#buried++;
      await taken(0, record.index);
      return true;
    } catch (error) {
      failed(`a refused record can't be kept in AUDIT_DEAD: ${reasonOf(error)}`, true);
      return false;
    }
  }
}

function halves(records: Batch["records"]): Batch["records"][] {
  const middle = Math.ceil(records.length / 2);
  return [records.slice(0, middle), records.slice(middle)] as unknown as Batch["records"][];
}
