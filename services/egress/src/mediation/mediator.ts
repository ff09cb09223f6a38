import type { Bus } from "@sluice/bus";
import {
  allServers,
  Fault,
  rpcErrorOf,
  subjects,
  encodeJson,
  type CallHead,
  type OwnWord,
  toFault,
} from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { ActiveCall, Ending } from "../active-call.ts";
import type { Principals } from "../principals.ts";
import { definitionOf } from "../definitions/definition.ts";
import type { ToolGate } from "../definitions/tool-gate.ts";
import type { Replies } from "../replies.ts";
import type { Upstreams } from "../upstreams.ts";
import { refusesLegacy } from "./eras.ts";
import { LegacyAgents } from "./legacy-agent.ts";
import { LegacySessions, type SessionLimits } from "./legacy-sessions.ts";
import { Listening } from "./listening.ts";
import { Lists, type Listing } from "./lists.ts";
import { Changes, type Place } from "./changes.ts";
import { listKinds } from "./names.ts";
import { clientOf } from "./client.ts";
import { ModernAgents, modernStatus } from "./modern-agent.ts";
import { Output } from "./output.ts";
import { Ids } from "./peer.ts";
import { Peers } from "./peers.ts";
import { Questions } from "./questions.ts";
import { anonymous, Routes } from "./routes.ts";
import { readBody, RpcError, textOf, type Members, type RpcMessage } from "./rpc.ts";
import { ParkedTalks } from "./talk.ts";

export interface MediatorOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly upstreams: Upstreams;
  readonly principals: Principals;
  readonly maxAnswerBytes: number;
  /** Calls of one agent that wait for its answers. */
  readonly mostParkedPerAgent: number;
  readonly sessionLimits: SessionLimits;
  readonly replies: Replies;
  readonly gate: ToolGate;
  /** Told which list methods of a server answer otherwise now. */
  readonly onChange: (place: Place, methods: string[]) => void;
}

interface Work {
  readonly call: ActiveCall;
  readonly body: Buffer;
  readonly traceparent: string;
}

/** Serves calls that no single upstream of the agent's own era can: translated, or gathered from several upstreams. */
export class Mediator implements AsyncDisposable {
  readonly #options: MediatorOptions;
  readonly #peers: Peers;
  readonly #lists: Lists;
  readonly #routes: Routes;
  readonly #listening: Listening;
  readonly changes: Changes;
  readonly #parked: ParkedTalks;
  readonly #sessions: LegacySessions;
  readonly #modern: ModernAgents;
  readonly #legacy: LegacyAgents;

  constructor(options: MediatorOptions) {
    const { bus, principals, gate } = options;
    this.#options = options;
    this.#lists = new Lists((view, kind, items) =>
      kind === "tools" && gate.watches(view)
        ? gate.inspect(
            view,
            items.map((item) => definitionOf(textOf(item["name"]), item)),
            { isWhole: true },
          )
        : undefined,
    );
    this.changes = new Changes(bus, (place, lists) => {
      for (const list of lists) this.#lists.drop(place, list);
      options.onChange(
        place,
        lists.map((list) => listKinds[list].method),
      );
    });
    this.#peers = new Peers(new Ids(bus.instance), {
      most: options.sessionLimits.mostPerAgent,
      onNotice: ({ head, upstream }, { method }) =>
        this.changes.say({ tenant: head.tenant, server: upstream.endpoint.name }, method),
    });
    const { maxAnswerBytes, upstreams, mostParkedPerAgent } = options;
    const [peers, lists, changes] = [this.#peers, this.#lists, this.changes];
    this.#routes = new Routes({ log: options.log, upstreams, principals, peers, lists, changes, maxAnswerBytes, gate });
    this.#listening = new Listening({ peers, changes, routes: this.#routes });
    this.#parked = new ParkedTalks({ instance: bus.instance, mostPerAgent: mostParkedPerAgent });
    this.#modern = new ModernAgents(this.#parked);
    this.#sessions = new LegacySessions({
      peers: this.#peers,
      principals,
      instance: bus.instance,
      lineOf: (head, server) => this.#routes.line(head, server),
      schemasOf: (head, server) => this.#routes.schemas(head, server),
      changes: this.changes,
      limits: options.sessionLimits,
      upstreams: options.upstreams,
      tell: (word) => bus.tell(subjects.own(word.rpcId === undefined ? "refresh" : "cancel"), encodeJson(word)),
    });
    this.#legacy = new LegacyAgents(new Questions(bus.instance), this.#sessions);
  }

  /** Whether a call is served here and not relayed. @throws Fault where the upstream cannot be reached. */
  mediates({ head }: ActiveCall, traceparent: string): boolean | Promise<boolean> {
    if (head.server === allServers || head.session?.isMediated === true || head.isPlain === true) return true;
    const upstream = this.#routes.find(head, head.server);
    const { eras } = this.#peers;
    if (head.era === "legacy")
      return head.session === undefined && (eras.isModernOnly(upstream, head.tenant) || eras.isOldTransport(upstream));
    if (head.method === "") return false;
    const seen = eras.seen(upstream, head.tenant);
    if (seen !== undefined) return seen !== "modern";
    return eras.of(this.#routes.line(head, head.server, traceparent)).then((speaks) => speaks !== "modern");
  }

  /** Whether an upstream that refused a legacy agent's call is to be spoken to in another way; what it refused it did not do. */
  async takesOver({ head }: ActiveCall, refusal: { status: number; body: Buffer }): Promise<boolean> {
    const upstream = this.#routes.find(head, head.server);
    if (head.session !== undefined || upstream.endpoint.era !== "auto") return false;
    const { eras } = this.#peers;
    if (head.era === "modern") {
      const mayBeLegacy = [400, 404, 405, 406].includes(refusal.status) && !refusesLegacy(refusal.body);
      return mayBeLegacy && (await eras.hasChanged(this.#routes.line(head, head.server)));
    }
    if (refusesLegacy(refusal.body)) {
      eras.learnModernOnly(upstream, head.tenant);
      return true;
    }
    const maybeOld = [400, 404, 405].includes(refusal.status) && !refusal.body.includes('"jsonrpc"');
    return head.method === "initialize" && maybeOld && (await this.#isOldTransport(head));
  }

  async carryOut({ call, body, traceparent }: Work): Promise<Ending> {
    const end = new AbortController();
    call.attach({ abort: () => end.abort() });
    const output = new Output({
      call,
      stream: (head) => this.#options.replies.stream(call, head),
      reply: (answer) => this.#options.replies.whole(call, answer),
    });
    const { head } = call;
    let message: RpcMessage | undefined;
    try {
      message = head.http === "POST" ? readBody(body) : undefined;
      const { signal } = end;
      if (head.era === "modern") return await this.#serveModern({ call, message, output, signal, traceparent });
      const session = this.#sessions.handle(head);
      const client = session?.state.client ?? anonymous(head);
      const route = this.#routes.of(call, { client, session, traceparent });
      return await this.#legacy.serve({ head, message, route, output, signal, session });
    } catch (error) {
      return await this.#fail(call, { error: call.ended ?? error, output, id: message?.id });
    }
  }

  /** What the server of a relayed call lists to its caller, whose client can do this. */
  tools(head: CallHead, capabilities: Members, isAnew: boolean): Promise<Listing> {
    return this.#routes.tools(head, capabilities, isAnew);
  }

  /** Whether calls wait for answers of their agents. */
  get isAwaited(): boolean {
    return this.#parked.size > 0;
  }

  /** Resolves when no call waits for answers of its agent any more, or at the deadline. */
  async finish(deadlineMs: number): Promise<void> {
    await this.#parked.settled(deadlineMs);
  }

  heed(word: OwnWord): void {
    if (word.session !== undefined && word.subscribes === true) this.#sessions.subscriptionsChanged(word.session);
    if (word.changed !== undefined) this.changes.heed(word.changed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parked[Symbol.dispose]();
    this.changes[Symbol.dispose]();
    await this.#sessions[Symbol.asyncDispose]();
    await this.#peers[Symbol.asyncDispose]();
  }

  async #serveModern(work: {
    call: ActiveCall;
    message: RpcMessage | undefined;
    output: Output;
    signal: AbortSignal;
    traceparent: string;
  }): Promise<Ending> {
    const { call, message, traceparent } = work;
    const { head } = call;
    if (message === undefined) throw new Fault("method_not_allowed", "in this protocol revision everything is a POST");
    const client = clientOf(message);
    return await this.#modern.serve({
      ...work,
      head,
      message,
      client,
      route: this.#routes.of(call, { client, session: undefined, traceparent }),
      listen: (server, wanted, sink) => this.#listening.listen({ head, client, traceparent }, server, { wanted, sink }),
    });
  }

  async #fail(
    { head }: ActiveCall,
    { error, output, id }: { error: unknown; output: Output; id: RpcMessage["id"] },
  ): Promise<Ending> {
    const answer = { jsonrpc: "2.0", id: id ?? null } as const;
    if (error instanceof RpcError) {
      const status = head.era === "modern" ? modernStatus(error, head) : 200;
      return await output.finish({ ...answer, error: error.body }, status);
    }
    if (!output.isStream) throw error;
    const fault = toFault(error);
    if (fault.kind === "internal")
      this.#options.log.error({ call: head.call, error: describeError(error) }, "call failed");
    if (fault.kind === "client_left") return { ...(await output.finish(undefined)), fault: fault.kind };
    const failure = { ...answer, error: rpcErrorOf(fault) };
    return { ...(await output.finish(id === undefined ? undefined : failure)), fault: fault.kind };
  }

  async #isOldTransport(head: CallHead): Promise<boolean> {
    const line = this.#routes.line(head, head.server);
    try {
      const peer = await this.#peers.open({ line, client: anonymous(head), signal: AbortSignal.timeout(10_000) });
      await peer.close();
      return true;
    } catch {
      return false;
    }
  }
}
