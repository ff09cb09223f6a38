import { isStored, type Bus, type Incoming } from "@sluice/bus";
import {
  asBuffer,
  encodeJson,
  Fault,
  maxAdmissionBatch,
  subjects,
  type AdmissionAnswer,
  type AdmissionRequest,
  type Asked,
  type Intent,
  type LimitVerdict,
  type PolicyVerdict,
  type SessionVerdict,
} from "@sluice/contracts";
import type { Held, Leases } from "./leases.ts";

/** Everything that was decided about one call. */
export interface Admitted {
  readonly policyVersion: number;
  readonly policy: PolicyVerdict;
  readonly limit: LimitVerdict;
  /** Where the call names a session. */
  readonly session: SessionVerdict | undefined;
}

interface Waiting {
  readonly intent: Intent;
  readonly held: Held;
  readonly resolve: (admitted: Admitted) => void;
  readonly reject: (fault: Fault) => void;
}

export interface AdmissionOptions {
  readonly bus: Bus;
  readonly leases: Leases;
  readonly timeoutMs: number;
}

const patienceMs = 5;

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

  /** @throws Fault `unavailable` where an answer is missing or the intent could not be stored. */
  ask(intent: Intent): Promise<Admitted> {
    const { promise, resolve, reject } = Promise.withResolvers<Admitted>();
    const held = this.#options.leases.take(intent);
    const asked: Asked = {
      policy: held.policy === undefined,
      limit: !held.limit,
      session: intent.session !== undefined,
    };
    const subject = subjects.admit(intent.protocol, asked);
    let lane = this.#lanes.get(subject);
    if (lane === undefined) this.#lanes.set(subject, (lane = new Lane(this.#options, subject, asked)));
    lane.add({ intent, held, resolve, reject });
    return promise;
  }
}

/**
 * The calls that wait for the same services. Calls that arrive while a message is under way share the next one. Without
 * every answer within the deadline nobody is admitted.
 */
class Lane {
  readonly #options: AdmissionOptions;
  readonly #subject: string;
  readonly #asked: Asked;
  readonly #queue: Waiting[] = [];
  /** Messages whose answers are still awaited. */
  #underWay = 0;
  #lastSentAt = 0;
  #scheduled = false;

  constructor(options: AdmissionOptions, subject: string, asked: Asked) {
    this.#options = options;
    this.#subject = subject;
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
      this.#send(this.#queue.splice(0, maxAdmissionBatch), now);
    }
  }

  #answered(): void {
    this.#underWay--;
    if (this.#queue.length > 0) this.#schedule();
  }

  #send(batch: Waiting[], askedAt: number): void {
    const { bus, leases, timeoutMs } = this.#options;
    const gathering = new Gathering(batch, this.#asked);
    this.#underWay++;
    const fail = (fault: Fault) => {
      this.#answered();
      for (const { reject } of batch) reject(fault);
    };
    const inbox = bus.inbox.open({
      timeoutMs,
      onMessage: (message) => {
        const fault = gathering.take(message);
        if (fault === undefined && !gathering.complete) return;
        inbox.close();
        if (fault !== undefined) fail(fault);
        else {
          this.#answered();
          gathering.resolve(leases, askedAt);
        }
      },
      onFailure: () =>
        fail(new Fault("unavailable", `no admission in time: ${gathering.missing.join(", ")} did not answer`)),
    });
    const request: AdmissionRequest = { from: bus.instance, calls: batch.map(({ intent }) => intent) };
    try {
      bus.tell(this.#subject, encodeJson(request), { reply: inbox.subject });
    } catch (error) {
      inbox.close();
      fail(
        error instanceof Fault ? error : new Fault("unavailable", "the message bus refused the call", { cause: error }),
      );
    }
  }
}

/** The answers to one batch as they come in, in any order. */
class Gathering {
  readonly #batch: readonly Waiting[];
  readonly #asked: Asked;
  #stored = false;
  #policy: Extract<AdmissionAnswer, { by: "policy" }> | undefined;
  #limit: Extract<AdmissionAnswer, { by: "rate-limit" }> | undefined;
  #session: Extract<AdmissionAnswer, { by: "session-manager" }> | undefined;

  constructor(batch: readonly Waiting[], asked: Asked) {
    this.#batch = batch;
    this.#asked = asked;
  }

  get missing(): string[] {
    const { policy, limit, session } = this.#asked;
    return [
      ...(this.#stored ? [] : ["audit stream"]),
      ...(policy && this.#policy === undefined ? ["policy"] : []),
      ...(limit && this.#limit === undefined ? ["rate-limit"] : []),
      ...(session && this.#session === undefined ? ["session-manager"] : []),
    ];
  }

  get complete(): boolean {
    const { policy, limit, session } = this.#asked;
    return (
      this.#stored &&
      (!policy || this.#policy !== undefined) &&
      (!limit || this.#limit !== undefined) &&
      (!session || this.#session !== undefined)
    );
  }

  /** Takes one answer in; returns why nobody can be admitted, if so. */
  take(message: Incoming): Fault | undefined {
    const answer = JSON.parse(asBuffer(message.data).toString("utf8")) as AdmissionAnswer | { by?: undefined };
    if (answer.by === undefined) {
      this.#stored = isStored(message);
      return this.#stored ? undefined : new Fault("unavailable", "the call could not be recorded");
    }
    if (answer.verdicts.length !== this.#batch.length)
      return new Fault("internal", `${answer.by} answered something else`);
    if (answer.by === "policy") this.#policy = answer;
    else if (answer.by === "rate-limit") this.#limit = answer;
    else this.#session = answer;
    return undefined;
  }

  resolve(leases: Leases, askedAt: number): void {
    for (const [index, { resolve, reject, intent, held }] of this.#batch.entries()) {
      const policy = held.policy ?? given(this.#policy, index);
      const limit = held.limit ? passed : this.#limit?.verdicts[index];
      const session = this.#session?.verdicts[index];
      if (policy === undefined || limit === undefined || (this.#asked.session && session === undefined)) {
        reject(new Fault("internal", "a verdict is missing"));
        continue;
      }
      leases.grant(intent, {
        policy: held.policy === undefined ? policy : undefined,
        limit: limit.ok && this.#limit !== undefined ? { lease: limit.lease, version: this.#limit.version } : undefined,
        askedAt,
      });
      resolve({ policyVersion: policy.version, policy: policy.verdict, limit, session });
    }
  }
}

const passed: LimitVerdict = { ok: true };

function given(answer: Extract<AdmissionAnswer, { by: "policy" }> | undefined, index: number) {
  const verdict = answer?.verdicts[index];
  return answer === undefined || verdict === undefined ? undefined : { verdict, version: answer.version };
}
