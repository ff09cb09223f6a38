import { setTimeout as sleep } from "node:timers/promises";
import { maxAdmissionBatch, subjects, type Asked, type Intent } from "@sluice/contracts";
import { AdmissionBatch, type AdmissionOptions, type Admitted, type Waiting } from "./admission-batch.ts";

export type { Admitted } from "./admission-batch.ts";

const patienceMs = 5;
/** What a client has seen to end, rate-limit may hear of a moment later than of that client's next call. */
const endIsHeardMs = 30;

/**
 * Asks policy, rate-limit and session-manager about calls, and has the intent stored, all by one message (ADR 0001). What
 * is leased is not asked about; what is stored never is left out.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #lanes = new Map<string, Lane>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Asks once more where calls in flight refuse.
   * @throws Fault `unavailable` where an answer is missing or the intent could not be stored.
   */
  async ask(intent: Intent): Promise<Admitted> {
    const admitted = await this.#ask(intent);
    const { policy, limit, session } = admitted;
    if (limit.ok || limit.isBusy !== true || !policy.ok || session?.ok === false) return admitted;
    await sleep(endIsHeardMs);
    return await this.#ask(intent);
  }

  #ask(intent: Intent): Promise<Admitted> {
    const { promise, resolve, reject } = Promise.withResolvers<Admitted>();
    const held = this.#options.leases.take(intent);
    const asked: Asked = {
      policy: held.policy === undefined,
      limit: held.limit === undefined,
      session: intent.session !== undefined || namesKept(intent),
    };
    const subject = subjects.admit(intent.protocol, asked);
    let lane = this.#lanes.get(subject);
    if (lane === undefined) this.#lanes.set(subject, (lane = new Lane(this.#options, asked)));
    lane.add({ intent, held, resolve, reject });
    return promise;
  }
}

/** How many of the first calls fit one message: what was captured of a request is larger than all else that is said of it. */
function fitting(queue: readonly Waiting[]): number {
  let room = maxAdmissionBatch;
  const end = queue.findIndex(({ intent: { captured } }) => (room -= captured === undefined ? 1 : 2) < 0);
  return end < 0 ? queue.length : end;
}

/** Whether a call by A2A names what belongs to somebody. */
function namesKept({ a2a }: Intent): boolean {
  if (a2a === undefined) return false;
  const { task, context, references, pushConfig } = a2a;
  return task !== undefined || context !== undefined || references !== undefined || pushConfig !== undefined;
}

/**
 * The calls that wait for the same services. Calls that arrive while a message is under way share the next one. Without
 * every answer within the deadline nobody is admitted.
 */
class Lane {
  readonly #options: AdmissionOptions;
  readonly #asked: Asked;
  readonly #queue: Waiting[] = [];
  /** Messages whose answers are still awaited. */
  #underWay = 0;
  #lastSentAt = 0;
  #scheduled = false;

  constructor(options: AdmissionOptions, asked: Asked) {
    this.#options = options;
    this.#asked = asked;
  }

  add(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.bus.atEndOfTurn(() => this.#flush());
  }

  /** While a message is under way calls gather for the next one; a late answer holds them up no longer than `patienceMs`. */
  #flush(): void {
    this.#scheduled = false;
    const now = performance.now();
    while (this.#queue.length > 0) {
      const mayGo =
        this.#underWay === 0 || this.#queue.length >= maxAdmissionBatch || now - this.#lastSentAt >= patienceMs;
      if (!mayGo) {
        setTimeout(() => this.#schedule(), patienceMs);
        return;
      }
      this.#lastSentAt = now;
      this.#send(this.#queue.splice(0, fitting(this.#queue)));
    }
  }

  #send(calls: readonly Waiting[]): void {
    this.#underWay++;
    new AdmissionBatch({ ...this.#options, calls, asked: this.#asked, onOver: () => this.#answered() }).send();
  }

  #answered(): void {
    this.#underWay--;
    if (this.#queue.length > 0) this.#schedule();
  }
}
