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
import type { Replies } from "../replies.ts";
import type { Upstream, Upstreams } from "../upstreams.ts";
import { refusesLegacy, unusable } from "./eras.ts";
import { LegacyAgents } from "./legacy-agent.ts";
import { LegacySessions, type SessionLimits } from "./legacy-sessions.ts";
import { Lists, type View } from "./lists.ts";
import { Changes, type Place } from "./changes.ts";
import { listKinds } from "./names.ts";
import { clientOf, ModernAgents, modernStatus } from "./modern-agent.ts";
import { ModernPeer } from "./modern-peer.ts";
import { Output } from "./output.ts";
import type { ToolSchemas } from "./param-headers.ts";
import { Ids, type Client, type Sink, type Wanted } from "./peer.ts";
import { Peers, withPeer } from "./peers.ts";
import { Questions } from "./questions.ts";
import { Route, type Late } from "./route.ts";
import { objectOf, readBody, RpcError, type RpcMessage } from "./rpc.ts";
import { ParkedTalks } from "./talk.ts";
import type { Line } from "./wire.ts";

export interface MediatorOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly upstreams: Upstreams;
  readonly principals: Principals;
  readonly maxAnswerBytes: number;
  readonly sessionLimits: SessionLimits;
  readonly replies: Replies;
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
  readonly #lists = new Lists();
  readonly #late: Late = new Map();
  readonly changes: Changes;
  readonly #parked: ParkedTalks;
  readonly #sessions: LegacySessions;
  readonly #modern: ModernAgents;
  readonly #legacy: LegacyAgents;

  constructor(options: MediatorOptions) {
    const { bus, principals } = options;
    this.#options = options;
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
    this.#parked = new ParkedTalks(bus.instance);
    this.#modern = new ModernAgents(this.#parked);
    this.#sessions = new LegacySessions({
      peers: this.#peers,
      principals,
      instance: bus.instance,
      lineOf: (head, server) => this.#line(head, server),
      schemasOf: (head, server) => this.#schemas(head, server),
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
    const upstream = this.#find(head, head.server);
    const { eras } = this.#peers;
    if (head.era === "legacy")
      return head.session === undefined && (eras.isModernOnly(upstream, head.tenant) || eras.isOldTransport(upstream));
    if (head.method === "") return false;
    const seen = eras.seen(upstream, head.tenant);
    if (seen !== undefined) return seen !== "modern";
    return eras.of(this.#line(head, head.server, traceparent)).then((speaks) => speaks !== "modern");
  }

  /** Whether an upstream that refused a legacy agent's call is to be spoken to in another way; what it refused it did not do. */
  async takesOver({ head }: ActiveCall, refusal: { status: number; body: Buffer }): Promise<boolean> {
    const upstream = this.#find(head, head.server);
    if (head.era !== "legacy" || head.session !== undefined || upstream.endpoint.era !== "auto") return false;
    const { eras } = this.#peers;
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
      const route = this.#route(head, { message, traceparent, signal: end.signal });
      return head.era === "modern"
        ? await this.#serveModern({ head, message, route, output, signal: end.signal, traceparent })
        : await this.#legacy.serve({
            head,
            message,
            route,
            output,
            signal: end.signal,
            session: this.#sessions.handle(head),
          });
    } catch (error) {
      return await this.#fail(call, { error: call.ended ?? error, output, id: message?.id });
    }
  }

  heed(word: OwnWord): void {
    if (word.session !== undefined && word.subscribes === true) this.#sessions.subscriptionsChanged(word.session);
    if (word.changed !== undefined) this.changes.heed(word.changed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parked[Symbol.dispose]();
    await this.#sessions[Symbol.asyncDispose]();
    await this.#peers[Symbol.asyncDispose]();
  }

  async #serveModern(work: {
    head: CallHead;
    message: RpcMessage | undefined;
    route: Route;
    output: Output;
    signal: AbortSignal;
    traceparent: string;
  }): Promise<Ending> {
    const { head, message, signal, traceparent } = work;
    if (message === undefined) throw new Fault("method_not_allowed", "in this protocol revision everything is a POST");
    const listen = async (server: string, wanted: Wanted, sink: Sink) => {
      const line = this.#line(head, server, traceparent);
      const place = { tenant: head.tenant, server };
      const client: Client = { ...clientOf(message), capabilities: {} };
      const told = this.changes.through(place, sink);
      const off = this.changes.watch(place, (method) => sink.notify({ method }));
      const isModern = (await this.#peers.eras.of(line)) === "modern";
      const schemas = this.#schemas(head, server);
      const peer = isModern
        ? this.#peers.modern({ line, client, schemas, modernAgent: true })
        : await this.#peers.open({ line, client, signal });
      if (!(peer instanceof ModernPeer)) peer.attach(line, told);
      await peer.listen(wanted, told).finally(() => peer.close());
      if (!signal.aborted && !isModern)
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      off();
    };
    return await this.#modern.serve({ ...work, message, client: clientOf(message), listen });
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

  #route(
    head: CallHead,
    { message, traceparent, signal }: { message: RpcMessage | undefined; traceparent: string; signal: AbortSignal },
  ): Route {
    const { upstreams, principals } = this.#options;
    const servers = head.server === allServers ? upstreams.namesOf(head.tenant) : [head.server];
    const session = head.era === "legacy" ? this.#sessions.handle(head) : undefined;
    const client = head.era === "modern" && message !== undefined ? clientOf(message) : anonymous(head);
    const mayUse = principals.listFilter(head);
    return new Route({
      servers,
      isMerged: head.server === allServers,
      decided: head.target,
      isWhole: head.isWholeList === true,
      mode: upstreams.prefixModeOf(head.tenant),
      lists: this.#lists,
      late: this.#late,
      viewOf: (server) => this.#view(head, server),
      mayUse: (kind, _server, names) => mayUse(kind, names),
      withPeer: (server, sink, work) => {
        if (session !== undefined) return session.withPeer(server, sink, work);
        const told = this.changes.through({ tenant: head.tenant, server }, sink);
        const line = this.#line(head, server, traceparent);
        const asking = {
          line,
          client,
          schemas: this.#schemas(head, server),
          modernAgent: head.era === "modern",
          signal,
        };
        return withPeer(this.#peers, asking, { sink: told, work });
      },
    });
  }

  #line(head: CallHead, server: string, traceparent = ""): Line {
    const upstream = this.#find(head, server);
    return { upstream, head: { ...head, server }, traceparent, maxAnswerBytes: this.#options.maxAnswerBytes };
  }

  #find({ tenant }: CallHead, server: string): Upstream {
    const upstream = this.#options.upstreams.find(tenant, server);
    if (upstream === undefined) throw unusable(server);
    return upstream;
  }

  #view(head: CallHead, server: string): View {
    const { endpoint } = this.#find(head, server);
    return {
      tenant: head.tenant,
      server,
      url: endpoint.url,
      // In a session an upstream is not asked again what it said of itself: less is known of it.
      agent: head.session === undefined ? head.agent.id : `${head.agent.id} in a session`,
      cacheMs: endpoint.listCacheSeconds * 1000,
    };
  }

  #schemas(head: CallHead, server: string): ToolSchemas {
    return async (tool, signal) => {
      const line = this.#line(head, server);
      const peer = this.#peers.modern({
        line,
        client: anonymous(head),
        schemas: () => Promise.resolve(undefined),
        modernAgent: false,
      });
      const { items } = await this.#lists.get(this.#view(head, server), "tools", (work) => work(peer));
      signal.throwIfAborted();
      const found = items.find(({ name }) => name === tool);
      return found === undefined ? undefined : objectOf(found["inputSchema"]);
    };
  }

  async #isOldTransport(head: CallHead): Promise<boolean> {
    const line = this.#line(head, head.server);
    try {
      const peer = await this.#peers.open({ line, client: anonymous(head), signal: AbortSignal.timeout(10_000) });
      await peer.close();
      return true;
    } catch {
      return false;
    }
  }
}

/** An agent that opens no session says nothing of itself. */
function anonymous({ agent }: CallHead): Client {
  return { info: { name: agent.name ?? agent.id, version: "0" }, capabilities: {} };
}
