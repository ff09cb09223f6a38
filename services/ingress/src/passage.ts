import type { IncomingHttpHeaders } from "node:http";
import type { AuditLog, Bus } from "@sluice/bus";
import { Fault, toFault, type Intent, type Slot } from "@sluice/contracts";
import type { Admission, Admitted } from "./admission.ts";
import { AnsweredCalls } from "./answered-calls.ts";
import type { ArgumentRules } from "./arguments.ts";
import type { Body } from "./body.ts";
import { ToldFault } from "./conversation-ends.ts";
import { Conversation, type ConversationOptions } from "./conversation.ts";
import type { CountedCalls } from "./counted-calls.ts";
import type { KeptRequests } from "./kept-requests.ts";
import { outcomeOf, type Ending, type Moment } from "./outcome.ts";
import type { RefusedAttempt } from "./attempt.ts";
import { quotaHeaders } from "./quota-headers.ts";
import type { UnknownCallers } from "./refusals.ts";
import { protocolDisabled, requireAdmitted, shownQuarantine, statusOf, type Shape } from "./refusal.ts";
import type { Streams } from "./streams.ts";
import { noSuchAgent, noSuchServer, withdrawn, type Principal, type Tenants } from "./tenants.ts";

export interface PassageParts {
  readonly bus: Bus;
  readonly tenants: Tenants;
  readonly admission: Admission;
  readonly argumentRules: ArgumentRules;
  readonly counted: CountedCalls;
  readonly streams: Streams;
  readonly audit: AuditLog;
  readonly callers: UnknownCallers;
  readonly kept: KeptRequests;
}

/** A call of either protocol, on its way from its client to egress. */
export interface Crossing {
  readonly principal: Principal;
  readonly intent: Intent;
  readonly headers: IncomingHttpHeaders;
  readonly body: Body;
  /** The body has a credential in it, such as a webhook's. */
  readonly holdsSecret?: boolean;
  readonly started: Moment;
  /** How refusals look to the caller. */
  readonly shape: Shape;
  /** The HTTP status that tells the caller this fault; that of the fault itself without it. */
  readonly statusOf?: (fault: Fault) => number;
  /** Ends the call, because it is allowed no more: says why where the answer has not begun. */
  readonly cut: (fault: Fault) => void;
}

/** What was decided about a call. */
export interface Decided {
  readonly intent: Intent;
  readonly admitted: Admitted;
}

/** The way of every call, whatever its protocol: it is admitted, counted while it is under way, and recorded where egress does not. */
export class Passage {
  readonly #parts: PassageParts;
  readonly #answered: AnsweredCalls;

  constructor(parts: PassageParts) {
    this.#parts = parts;
    this.#answered = new AnsweredCalls(parts.audit, parts.streams);
  }

  /** @throws Fault `unavailable` where no more outcomes can be kept */
  requireRoom(): void {
    if (this.#parts.audit.full) throw noRoom();
  }

  /**
   * Puts on record an attempt that is refused before anybody was asked for its admission; gives back what its client is to be told.
   * Where the trail has no room for it, it is only counted.
   */
  refuse({ intent, started, fault, status }: RefusedAttempt): Fault {
    const { audit, callers } = this.#parts;
    if (audit.full) {
      const { tenant, protocol } = intent;
      const told = noRoom();
      callers.refused({ tenant, protocol, status: told.row.status, fault: told.kind });
      return told;
    }
    audit.add({ event: "intent", ...intent });
    this.conclude({ started }, { intent, admitted: undefined, fault, status });
    return fault;
  }

  /** A credential may be withdrawn while the body still arrives. @throws Fault `unauthorized` */
  requireCredential(principal: Principal): void {
    if (!this.#parts.tenants.knows(principal)) throw withdrawn();
  }

  /** Admits the call and has it carried out; whatever keeps it from that is recorded. @throws Fault */
  async pass(arrived: Crossing, carryOut: (decided: Decided) => Promise<void>): Promise<void> {
    const crossing = this.#recorded(arrived);
    const { intent, principal } = crossing;
    const { protocol, server } = intent;
    const { audit, tenants } = this.#parts;
    let off: (() => void) | undefined;
    let admitted: Admitted | undefined;
    let slot: Slot | undefined;
    try {
      off = tenants.whenWithdrawn({ principal, protocol, server }, () => crossing.cut(this.#whyEnded(crossing)));
      admitted = await this.#ask(crossing);
      requireAdmitted(admitted, intent, crossing.shape);
      slot = this.#parts.counted.begin(admitted.limit);
      await carryOut({ intent, admitted });
    } catch (error) {
      const fault = toFault(error);
      if (fault instanceof ToldFault) throw shownQuarantine(fault, intent, crossing.shape);
      if (off === undefined) audit.add({ event: "intent", ...intent });
      this.#refused(crossing, admitted, fault);
      throw error;
    } finally {
      off?.();
      this.#parts.counted.end(slot);
    }
  }

  /** Admits what is no call to an upstream itself; gives back what was decided and what records how it ended. @throws Fault */
  async admit(arrived: Crossing): Promise<Decided & { readonly end: (ending: Omit<Ending, keyof Decided>) => void }> {
    const crossing = this.#recorded(arrived);
    const { intent } = crossing;
    let admitted: Admitted | undefined;
    try {
      admitted = await this.#parts.admission.ask(intent);
      requireAdmitted(admitted, intent, crossing.shape);
    } catch (error) {
      this.#refused(crossing, admitted, toFault(error));
      throw error;
    }
    const decided = { intent, admitted };
    const slot = this.#parts.counted.begin(admitted.limit);
    const end = (ending: Omit<Ending, keyof Decided>) => {
      this.#parts.counted.end(slot);
      this.conclude(crossing, { ...decided, ...ending });
    };
    return { ...decided, end };
  }

  /** Hands the call to egress and writes its answer. @throws Fault */
  async converse(
    crossing: Crossing,
    decided: Decided,
    options: Omit<ConversationOptions, "bus" | "streams" | "body" | "extraHeaders">,
  ): Promise<void> {
    const { bus, streams } = this.#parts;
    const { body } = crossing;
    const extraHeaders = quotaHeaders(decided.admitted.limit.quotas);
    const conversation = new Conversation({ ...options, bus, streams, body, extraHeaders });
    try {
      const end = await conversation.run();
      const { headersSent, statusCode } = options.response;
      const ending = { ...decided, status: headersSent ? statusCode : 499, bytes: conversation.written.bytes };
      if (end instanceof Fault) this.conclude(crossing, { ...decided, fault: end, status: statusCode });
      else if (end === undefined) this.#egressTells(conversation, crossing, ending);
    } catch (fault) {
      if (fault instanceof ToldFault)
        this.#egressTells(conversation, crossing, {
          ...decided,
          fault,
          status: (crossing.statusOf ?? statusOf)(fault),
        });
      throw fault;
    }
  }

  #egressTells({ egress }: Conversation, { started }: Crossing, ending: Ending): void {
    if (egress !== undefined) this.#answered.add(egress, outcomeOf(ending, { started, by: this.#parts.bus.instance }));
  }

  /** The outcome of what egress did not conclude: refusals, failures on this side of it, and replays. */
  conclude({ started }: Pick<Crossing, "started">, end: Ending): void {
    const { audit, bus } = this.#parts;
    audit.add({ event: "outcome", ...outcomeOf(end, { started, by: bus.instance }) });
  }

  /** What the tenant wants kept of the request is taken before the body is let go of. */
  #recorded(crossing: Crossing): Crossing {
    const { intent, headers, body, holdsSecret } = crossing;
    const recorded = this.#parts.kept.record({ intent, headers, body: body.bytes, holdsSecret });
    return recorded === intent ? crossing : { ...crossing, intent: recorded };
  }

  #refused(crossing: Crossing, admitted: Admitted | undefined, fault: Fault): void {
    const status = (crossing.statusOf ?? statusOf)(fault);
    this.conclude(crossing, { intent: crossing.intent, admitted, fault, status });
  }

  /** What policy has to see of the arguments it is asked apart, and only where nothing else stands against the call. */
  async #ask({ intent, body }: Crossing): Promise<Admitted> {
    const { admission, argumentRules, counted } = this.#parts;
    const admitted = await admission.ask(intent);
    const { policy, limit, session } = admitted;
    if (!policy.ok || policy.needsArguments !== true || !limit.ok || session?.ok === false) return admitted;
    let isRefused = true;
    try {
      const decided = await argumentRules.decide(intent, admitted, body.bytes);
      isRefused = !decided.policy.ok;
      return decided;
    } finally {
      if (isRefused) counted.giveBack(1, limit.counted);
    }
  }

  #whyEnded({ principal, intent: { protocol } }: Crossing): Fault {
    const { tenants } = this.#parts;
    if (!tenants.knows(principal)) return withdrawn();
    if (tenants.isSwitchedOff(principal, protocol)) return protocolDisabled(protocol);
    return protocol === "mcp" ? noSuchServer() : noSuchAgent();
  }
}

function noRoom(): Fault {
  return new Fault("unavailable", "the audit trail cannot be written at the moment");
}
