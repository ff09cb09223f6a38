import type { AuditLog, Bus, Incoming, Waiting as Inbox } from "@sluice/bus";
import {
  encodeJson,
  Fault,
  subjects,
  type AdmissionRequest,
  type Asked,
  type Intent,
  type LimitVerdict,
  type PolicyVerdict,
  type SessionVerdict,
} from "@sluice/contracts";
import { Gathering } from "./gathering.ts";
import type { CountedCalls } from "./counted-calls.ts";
import type { Held, Leases } from "./leases.ts";

/** Everything that was decided about one call. */
export interface Admitted {
  readonly policyVersion: number;
  readonly policy: PolicyVerdict;
  readonly limit: LimitVerdict;
  /** Where the call names a session, or by A2A a task or a context. */
  readonly session: SessionVerdict | undefined;
}

/** A call that waits to be admitted. */
export interface Waiting {
  readonly intent: Intent;
  readonly held: Held;
  readonly resolve: (admitted: Admitted) => void;
  readonly reject: (fault: Fault) => void;
}

export interface AdmissionOptions {
  readonly bus: Bus;
  readonly audit: AuditLog;
  readonly leases: Leases;
  readonly counted: CountedCalls;
  readonly timeoutMs: number;
}

export interface BatchOptions extends AdmissionOptions {
  readonly calls: readonly Waiting[];
  readonly asked: Asked;
  /** Called once, when it is decided or has failed. */
  readonly onOver: () => void;
}

/** What a service that decided under an older configuration is given to take over the current one, doubled each time it is asked again. */
const firstGraceMs = 50;
const mostTries = 5;
/** For so long it is heard what a late rate-limit has counted, to give it back. */
const lateMs = 10_000;

/** One message that asks for the admission of up to 64 calls, and its answers. Without every answer nobody is admitted. */
export class AdmissionBatch {
  readonly #options: BatchOptions;
  readonly #gathering: Gathering;
  readonly #askedAt = performance.now();
  readonly #inbox: Inbox;
  #calls: readonly Waiting[];
  #over = false;
  #triesAgain = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#calls = options.calls;
    this.#gathering = new Gathering(options.calls.length, options.asked);
    for (const { intent } of options.calls) intent.seq ??= options.audit.nextSeq();
    this.#inbox = options.bus.inbox.open({
      timeoutMs: options.timeoutMs,
      onMessage: (message) => this.#take(message),
      onFailure: () =>
        this.#fail(
          new Fault("unavailable", `no admission in time: ${this.#gathering.missing.join(", ")} did not answer`),
        ),
    });
  }

  send(): void {
    this.#ask(this.#options.asked);
  }

  #ask(asked: Asked): void {
    const { bus } = this.#options;
    const [first] = this.#calls;
    if (first === undefined) return;
    const request: AdmissionRequest = { from: bus.instance, calls: this.#calls.map(({ intent }) => intent) };
    try {
      bus.tell(subjects.admit(first.intent.protocol, asked), encodeJson(request), { reply: this.#inbox.subject });
    } catch (error) {
      this.#fail(
        error instanceof Fault ? error : new Fault("unavailable", "the message bus refused the call", { cause: error }),
      );
    }
  }

  #take(message: Incoming): void {
    const gathering = this.#gathering;
    const fault = gathering.take(message);
    if (this.#over) this.#giveBackLate();
    else if (fault !== undefined) this.#fail(fault);
    else if (gathering.complete) this.#decide();
  }

  /** What was decided under an older configuration than ingress has is asked about again, a few times, and then refused. */
  #decide(): void {
    const outdated = this.#gathering.outdated(this.#options.leases.version);
    if (outdated === undefined) return this.#admit();
    if (this.#triesAgain === mostTries)
      return this.#fail(new Fault("unavailable", "a service that this request needs has an old configuration"));
    this.#giveBack(this.#gathering.forget(outdated));
    setTimeout(() => this.#ask(outdated), firstGraceMs * 2 ** this.#triesAgain++);
  }

  #admit(): void {
    const { leases, counted, asked } = this.#options;
    const policies = this.#gathering.of("policy");
    const limits = this.#gathering.of("rate-limit");
    const sessions = this.#gathering.of("session-manager");
    this.#end();
    for (const [index, { resolve, reject, intent, held }] of this.#calls.entries()) {
      const verdict = policies?.verdicts[index];
      const decided =
        policies === undefined || verdict === undefined ? undefined : { verdict, version: policies.version };
      const policy = held.policy ?? decided;
      const limit = held.limit ?? limits?.verdicts[index];
      const session = sessions?.verdicts[index];
      if (policy === undefined || limit === undefined || (asked.session && session === undefined)) {
        reject(new Fault("internal", "a verdict is missing"));
        continue;
      }
      leases.grant(intent, {
        policy: decided,
        limit: limits === undefined ? undefined : { verdict: limit, version: limits.version },
        askedAt: this.#askedAt,
      });
      const isRefused = !policy.verdict.ok || session?.ok === false;
      if (isRefused && limit.ok) counted.giveBack(1, limit.counted);
      resolve({ policyVersion: policy.version, policy: policy.verdict, limit, session });
    }
  }

  /** None of the calls is carried out, and those that may not be on record are put there: what was counted for them is given back, now or when it becomes known. */
  #fail(fault: Fault): void {
    if (this.#over) return;
    const { audit, counted, asked } = this.#options;
    const calls = this.#calls;
    this.#end();
    this.#calls = [];
    if (!this.#gathering.stored) for (const { intent } of calls) audit.put({ event: "intent", ...intent });
    for (const { held } of calls) counted.giveBack(1, held.limit?.counted);
    this.#inbox.reopen(lateMs);
    if (!asked.limit || this.#gathering.of("rate-limit") !== undefined) this.#giveBackLate();
    for (const { reject } of calls) reject(fault);
  }

  #giveBackLate(): void {
    if (this.#options.asked.limit && this.#gathering.of("rate-limit") === undefined) return;
    this.#giveBack(this.#gathering.forget({ policy: false, limit: true, session: false }));
    this.#inbox.close();
  }

  #giveBack(verdicts: readonly LimitVerdict[]): void {
    for (const verdict of verdicts)
      if (verdict.ok) this.#options.counted.giveBack(1 + (verdict.lease?.calls ?? 0), verdict.counted);
  }

  #end(): void {
    this.#over = true;
    this.#inbox.close();
    this.#options.onOver();
  }
}
