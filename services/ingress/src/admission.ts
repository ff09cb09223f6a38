import { isStored, type Bus, type Incoming } from "@sluice/bus";
import {
  asBuffer,
  encodeJson,
  Fault,
  maxAdmissionBatch,
  subjects,
  type AdmissionAnswer,
  type AdmissionRequest,
  type Intent,
  type LimitVerdict,
  type PolicyVerdict,
  type SessionVerdict,
} from "@sluice/contracts";

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
  readonly resolve: (admitted: Admitted) => void;
  readonly reject: (fault: Fault) => void;
}

const patienceMs = 5;

/**
 * Asks policy, rate-limit and session-manager about calls, and has the intent stored, all by one message (ADR 0001).
 * Calls that arrive while a message is under way share the next one. Without every answer within the deadline
 * nobody is admitted.
 */
export class Admission {
  readonly #bus: Bus;
  readonly #timeoutMs: number;
  readonly #queue: Waiting[] = [];
  /** Messages whose answers are still awaited. */
  #underWay = 0;
  #lastSentAt = 0;
  #scheduled = false;

  constructor(bus: Bus, timeoutMs: number) {
    this.#bus = bus;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws Fault `unavailable` where an answer is missing or the intent could not be stored. */
  ask(intent: Intent): Promise<Admitted> {
    const { promise, resolve, reject } = Promise.withResolvers<Admitted>();
    this.#queue.push({ intent, resolve, reject });
    this.#schedule();
    return promise;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#bus.atEndOfTurn(() => this.#flush());
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
      this.#send(this.#queue.splice(0, maxAdmissionBatch));
    }
  }

  #answered(): void {
    this.#underWay--;
    if (this.#queue.length > 0) this.#schedule();
  }

  #send(batch: Waiting[]): void {
    const gathering = new Gathering(batch);
    this.#underWay++;
    const fail = (fault: Fault) => {
      this.#answered();
      for (const { reject } of batch) reject(fault);
    };
    const inbox = this.#bus.inbox.open({
      timeoutMs: this.#timeoutMs,
      onMessage: (message) => {
        const fault = gathering.take(message);
        if (fault === undefined && !gathering.complete) return;
        inbox.close();
        if (fault !== undefined) fail(fault);
        else {
          this.#answered();
          gathering.resolve();
        }
      },
      onFailure: () =>
        fail(new Fault("unavailable", `no admission in time: ${gathering.missing.join(", ")} did not answer`)),
    });
    const subject = gathering.withSession ? subjects.admitSession("mcp") : subjects.admit("mcp");
    const request: AdmissionRequest = { from: this.#bus.instance, calls: batch.map(({ intent }) => intent) };
    try {
      this.#bus.tell(subject, encodeJson(request), { reply: inbox.subject });
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
  readonly withSession: boolean;
  readonly #batch: readonly Waiting[];
  #stored = false;
  #policy: Extract<AdmissionAnswer, { by: "policy" }> | undefined;
  #limit: Extract<AdmissionAnswer, { by: "rate-limit" }> | undefined;
  #session: Extract<AdmissionAnswer, { by: "session-manager" }> | undefined;

  constructor(batch: readonly Waiting[]) {
    this.#batch = batch;
    this.withSession = batch.some(({ intent }) => intent.session !== undefined);
  }

  get missing(): string[] {
    return [
      ...(this.#stored ? [] : ["audit stream"]),
      ...(this.#policy === undefined ? ["policy"] : []),
      ...(this.#limit === undefined ? ["rate-limit"] : []),
      ...(this.withSession && this.#session === undefined ? ["session-manager"] : []),
    ];
  }

  get complete(): boolean {
    return (
      this.#stored &&
      this.#policy !== undefined &&
      this.#limit !== undefined &&
      (!this.withSession || this.#session !== undefined)
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

  resolve(): void {
    for (const [index, { resolve, reject, intent }] of this.#batch.entries()) {
      const policy = this.#policy?.verdicts[index];
      const limit = this.#limit?.verdicts[index];
      const session = this.#session?.verdicts[index] ?? undefined;
      if (policy === undefined || limit === undefined || (intent.session !== undefined && session === undefined)) {
        reject(new Fault("internal", "a verdict is missing"));
      } else resolve({ policyVersion: this.#policy?.version ?? 0, policy, limit, session });
    }
  }
}

/** @throws Fault for the first thing that stands against the call: session, policy, then limit. */
export function requireAdmitted(admitted: Admitted, intent: Intent): void {
  const { policy, limit, session } = admitted;
  if (session?.ok === false)
    throw new Fault("session_not_found", "the session is unknown or has ended: initialize again");
  if (!policy.ok) throw denial(policy, intent);
  if (!limit.ok) {
    const { retryAfterSeconds } = limit;
    throw new Fault("agent_rate_limited", `rate limit reached: try again in ${retryAfterSeconds} s`, {
      details: { agentId: intent.agent.id, retryAfterSeconds },
    });
  }
}

function denial(policy: Extract<PolicyVerdict, { ok: false }>, intent: Intent): Fault {
  if (policy.fault === "protocol_disabled")
    return new Fault("protocol_disabled", "MCP is switched off for this tenant");
  return new Fault(
    "tool_access_denied",
    `Agent '${intent.agent.id}' is not authorized to invoke tool '${intent.target ?? ""}'`,
    {
      details: { allowedTools: policy.allowedTools },
    },
  );
}
