import { setImmediate as nextTurn } from "node:timers/promises";
import type { AuditLog, Bus, Incoming, SectionMap } from "@sluice/bus";
import {
  decodeHeadAndBody,
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  takeCallMs,
  toFault,
  type CallHead,
  type OwnVerb,
  type Protocol,
  type OwnWord,
} from "@sluice/contracts";
import { describeError, startSpan, type Log, type Span } from "@sluice/telemetry";
import { ActiveCall, type Ending } from "./active-call.ts";
import type { AgentCalls } from "./a2a/agent-calls.ts";
import type { Agents } from "./a2a/agents.ts";
import type { Calls } from "./calls.ts";
import type { Mediator } from "./mediation/mediator.ts";
import type { Relay } from "./relay.ts";
import type { Replies } from "./replies.ts";
import type { KeptAnswers } from "./kept-answers.ts";
import type { ClosedEndpoint } from "./closed-endpoints.ts";
import type { Upstreams } from "./upstreams.ts";

/** Calls are taken sooner than this, but for a replica or a connection that was held up. */
const noticeableMs = 20;

export interface EgressParts {
  readonly bus: Bus;
  readonly log: Log;
  readonly upstreams: Upstreams;
  readonly audit: AuditLog;
  readonly agents: Agents;
  /** Those of one protocol never count for the other. */
  readonly calls: Readonly<Record<Protocol, Calls>>;
  readonly replies: Replies;
  readonly relay: Relay;
  readonly mediator: Mediator;
  readonly agentCalls: AgentCalls;
  readonly kept: KeptAnswers;
}

/** Forwards admitted calls: signs, sends once, relays what comes back as it is. */
export class Egress {
  readonly #parts: EgressParts;

  constructor(parts: EgressParts) {
    this.#parts = parts;
  }

  configure(sections: SectionMap<"egress">): readonly ClosedEndpoint[] {
    const { agents, kept, upstreams } = this.#parts;
    kept.configure(sections);
    return [...upstreams.configure(sections), ...agents.configure(sections)];
  }

  /** Takes a call from the bus; everything that goes wrong ends as an answer to the caller and an outcome. */
  async take(message: Incoming): Promise<void> {
    const { audit, kept, log, replies } = this.#parts;
    if (message.reply === undefined) return;
    const { head, body } = decodeHeadAndBody<CallHead>(message.data);
    const calls = this.#callsLike(head);
    const call = new ActiveCall(head, message.reply);
    kept.begin(call);
    const span = startSpan(`egress ${head.method || head.http}`, "client", head.traceparent);
    try {
      if (audit.full) throw new Fault("unavailable", "the audit trail cannot be written at the moment");
      calls.add(call);
      const waitedMs = Date.now() - head.notAfter + takeCallMs;
      if (waitedMs > noticeableMs) await this.#lookAgain(call, waitedMs);
      const ending = await this.#carryOut(call, body, span);
      if (ending === undefined) span.end();
      else this.#conclude(call, span, ending);
    } catch (error) {
      const fault = call.ended ?? toFault(error);
      call.end(fault);
      if (fault.kind === "internal")
        log.error({ traceId: span.traceId, call: head.call, error: describeError(error) }, "call failed");
      replies.fault(call, fault);
      const isQuarantined = fault.kind === "tool_quarantined";
      const status = isQuarantined ? this.#parts.upstreams.quarantineStatus(head) : fault.row.status;
      this.#conclude(call, span, { status, fault: fault.kind });
    } finally {
      calls.remove(call);
    }
  }

  /** A call that lay somewhere may have been given up meanwhile: the word of that lies there too. @throws Fault */
  async #lookAgain(call: ActiveCall, waitedMs: number): Promise<void> {
    if (waitedMs > takeCallMs) {
      this.#parts.log.warn({ call: call.head.call, waitedMs }, "a call came too late, or clocks differ");
      throw new Fault("unavailable", "the call waited too long to be taken and was not carried out");
    }
    await nextTurn();
    if (call.ended !== undefined) throw call.ended;
  }

  /** Heeds a word about a call or stream, where it is this replica's. */
  heed(verb: OwnVerb, message: Incoming): void {
    const word = decodeJson<OwnWord>(message.data);
    if (verb === "refresh") return this.#parts.mediator.heed(word);
    const { mcp, a2a } = this.#parts.calls;
    for (const call of [...mcp.matching(word), ...a2a.matching(word)]) {
      if (verb === "cancel") call.abandon();
      else if (verb === "detach" && word.reader !== undefined) call.leave(word.reader);
      else if (verb === "progress" && word.reader !== undefined) call.progress(word.reader, word.readUpTo ?? 0);
      else if (verb === "attach" && word.reader !== undefined) this.#attach(call, word.reader);
      else if (verb === "release" && call.listening && call.reader === undefined)
        call.end(new Fault("client_left", "a newer stream took over"));
    }
  }

  #callsLike({ a2a }: CallHead): Calls {
    return this.#parts.calls[a2a === undefined ? "mcp" : "a2a"];
  }

  /** A call goes to its upstream as it is, or is mediated where no upstream takes it as it is. */
  async #carryOut(call: ActiveCall, inline: Buffer, { traceparent }: Span): Promise<Ending | undefined> {
    const { agentCalls, mediator, relay, replies } = this.#parts;
    const { a2a } = call.head;
    if (a2a !== undefined) return await agentCalls.carryOut({ call, inline, traceparent }, a2a);
    let mediates = mediator.mediates(call, traceparent);
    if (typeof mediates !== "boolean") mediates = await mediates;
    if (!mediates) {
      const ending = await relay.carry({ call, inline, traceparent });
      if (ending !== undefined) return ending;
    }
    return await mediator.carryOut({ call, body: await replies.bodyOf(call, inline), traceparent });
  }

  /** A stream has one reader: whoever read it so far is told. */
  #attach(call: ActiveCall, reader: string): void {
    const { bus } = this.#parts;
    const replaced = call.readerInstance;
    const word: OwnWord = { stream: call.head.stream, ...(call.reader !== undefined && { reader: call.reader }) };
    if (call.read(reader) === undefined || replaced === undefined || !bus.connected) return;
    bus.tell(subjects.ownIngress(replaced, "replaced"), encodeJson(word));
  }

  #conclude(call: ActiveCall, span: Span, ending: Ending): void {
    const { head } = call;
    const { upstreams, agents } = this.#parts;
    const to = head.a2a === undefined ? upstreams : agents;
    const credential = to.credentialTypeOf(head.tenant, call.upstream ?? head.server);
    this.#parts.audit.add({
      event: "outcome",
      call: head.call,
      tenant: head.tenant,
      at: Date.now(),
      decision: ending.fault === "tool_quarantined" ? "deny" : "allow",
      durationMs: call.durationMs,
      bytes: call.bytes,
      by: this.#parts.bus.instance,
      ...ending,
      ...this.#parts.kept.end(call),
      ...(call.upstream !== undefined && { upstream: call.upstream }),
      ...(call.definition !== undefined && { definition: call.definition }),
      ...(credential !== undefined && { credential }),
      ...(head.limit !== undefined && { limit: head.limit }),
      ...(head.client !== undefined && head.session !== undefined && { client: head.client }),
      ...(head.rule !== undefined && { rule: head.rule }),
      ...(head.policyVersion !== undefined && { policyVersion: head.policyVersion }),
      ...(head.shadow !== undefined && { shadow: head.shadow }),
    });
    this.#callsLike(head).count(call, ending);
    span.end({
      ...(ending.fault !== undefined && { error: ending.fault }),
      attributes: { "http.response.status_code": ending.status, "rpc.method": head.method, "sluice.call": head.call },
    });
  }
}
