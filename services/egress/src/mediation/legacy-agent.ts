import type { CallHead } from "@sluice/contracts";
import { Fault } from "@sluice/contracts";
import type { Ending } from "../active-call.ts";
import { Gathered } from "./changes.ts";
import { gatewayInfo, statusesMember } from "./own-words.ts";
import { changedKind } from "./names.ts";
import { operate } from "./operations.ts";
import type { Output } from "./output.ts";
import type { About, Client, Sink } from "./peer.ts";
import { requireCapability, type Questions } from "./questions.ts";
import { mergeCapabilities, type Route } from "./route.ts";
import { invalidParams, objectOf, RpcError, without, type Members, type Request, type RpcMessage } from "./rpc.ts";
import type { LegacySessions } from "./legacy-sessions.ts";
import type { SessionHandle } from "./session-handle.ts";

/** Everything about one call of a legacy agent. */
export interface LegacyCall {
  readonly head: CallHead;
  /** Absent for GET and DELETE. */
  readonly message: RpcMessage | undefined;
  readonly route: Route;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** The session that the call names; absent before `initialize`, and for agents that keep none. */
  readonly session: SessionHandle | undefined;
}

const versions = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/** Members of the modern era that legacy clients do not know. */
const modernMembers = ["resultType", "ttlMs", "cacheScope"];

/** Serves agents of the legacy era with upstreams of any (MCP 2025-11-25). */
export class LegacyAgents {
  readonly #questions: Questions;
  readonly #sessions: LegacySessions;

  constructor(questions: Questions, sessions: LegacySessions) {
    this.#questions = questions;
    this.#sessions = sessions;
  }

  /** @throws RpcError, Fault */
  async serve(call: LegacyCall): Promise<Ending> {
    const { head, message, output } = call;
    if (head.http === "GET") return await this.#listen(call);
    if (head.http === "DELETE") return await this.#end(call);
    if (message === undefined) throw new Fault("invalid_request", "the body is no JSON-RPC message");
    if (message.method === undefined) {
      // A late answer to a question that nobody asks any more is no fault of the client's.
      this.#questions.take(message, head);
      return await output.finish(undefined, 202);
    }
    if (message.id === undefined || message.id === null) return await this.#notice(call, message as Request);
    const { result, headers } = await this.#result(call, { ...message, method: message.method });
    return await output.finish({ jsonrpc: "2.0", id: message.id, result }, 200, headers);
  }

  async #result(
    call: LegacyCall,
    { method, params = {} }: Request,
  ): Promise<{ result: Members; headers?: Record<string, string> }> {
    const { route, session } = call;
    if (method === "initialize") return await this.#initialize(call, params);
    if (method === "ping") return { result: {} };
    if (method === "logging/setLevel") return await this.#setLevel(call, params);
    if (method.startsWith("tasks/")) throw new RpcError(-32601, `Method not found: ${method}`);
    const sink = this.#sink(call);
    if (method === "resources/subscribe" || method === "resources/unsubscribe") {
      if (session === undefined) throw new Fault("invalid_request", `${method} needs a session: initialize first`);
      return { result: await session.watch(route, { method, params }, sink) };
    }
    const { result } = await operate(route, { method, params }, sink);
    return { result: without(result, ...modernMembers) };
  }

  async #initialize(call: LegacyCall, params: Members) {
    const { head, route, signal } = call;
    const asked = params["protocolVersion"];
    if (typeof asked !== "string") throw new RpcError(invalidParams, 'initialize needs "params.protocolVersion"');
    const version = versions.includes(asked) ? asked : (versions[0] ?? asked);
    const client: Client = {
      info: objectOf(params["clientInfo"]),
      capabilities: objectOf(params["capabilities"]),
    };
    const { opened, statuses, id } = await this.#sessions.open({ head, route, client, version, signal });
    return { result: initializeResult(route, version, { opened, statuses }), headers: { "mcp-session-id": id } };
  }

  async #setLevel({ route, session }: LegacyCall, params: Members): Promise<{ result: Members }> {
    const level = params["level"];
    if (typeof level !== "string") throw new RpcError(invalidParams, 'logging/setLevel needs "params.level"');
    await session?.setLevel(route, level);
    return { result: {} };
  }

  async #notice(call: LegacyCall, { method, params = {} }: Request): Promise<Ending> {
    const { output, session, route } = call;
    if (method === "notifications/cancelled") session?.cancel(params["requestId"]);
    else if (method === "notifications/roots/list_changed") await session?.tellAll(route, { method });
    return await output.finish(undefined, 202);
  }

  /** The stream of what the upstreams say of their own accord; a kind of change is told once, however many say it. */
  async #listen(call: LegacyCall): Promise<Ending> {
    const { output, session, route } = call;
    if (session === undefined) throw new Fault("method_not_allowed", "a stream needs a session: initialize first");
    output.open();
    const gathered = new Gathered((method) => output.event({ jsonrpc: "2.0", method }));
    const sink: Sink = {
      ...this.#sink(call),
      notify: ({ method, params }) => {
        if (changedKind(method) !== undefined) gathered.add(method);
        else output.event({ jsonrpc: "2.0", method, ...(params && { params }) });
      },
    };
    await session.listen(route, sink);
    gathered.close();
    return await output.finish(undefined);
  }

  async #end({ output, session, head }: LegacyCall): Promise<Ending> {
    if (session === undefined || head.session === undefined)
      throw new Fault("invalid_request", "DELETE needs a session");
    await this.#sessions.end(head.session.id, session);
    return await output.finish(undefined, 200);
  }

  #sink({ head, output, signal, session }: LegacyCall): Sink {
    return {
      signal,
      notify: (notice) => output.event({ jsonrpc: "2.0", ...notice }),
      room: () => output.room(),
      ask: (request) => {
        requireCapability(request, session?.state.client.capabilities ?? {});
        return this.#questions.put(request, { head, signal, send: (message) => output.event(message) });
      },
    };
  }
}

interface Opened {
  readonly opened: readonly { readonly server: string; readonly about: About }[];
  readonly statuses: Readonly<Record<string, string>>;
}

/** What the upstreams said of themselves; of several, what is common, in the gateway's name. */
function initializeResult(route: Route, version: string, { opened, statuses }: Opened): Members {
  const [first] = opened;
  const isOne = !route.isMerged && first !== undefined;
  const instructions = opened.flatMap(({ about }) => about.instructions ?? []).join("\n\n");
  const experimental = isOne ? first.about.capabilities["experimental"] : undefined;
  return {
    protocolVersion: version,
    capabilities: {
      ...mergeCapabilities(opened.map(({ about }) => about.capabilities)),
      ...(experimental !== undefined && { experimental }),
    },
    serverInfo: isOne ? { name: first.server, version: "0", ...first.about.serverInfo } : gatewayInfo,
    ...(instructions !== "" && { instructions }),
    ...(route.isMerged && { _meta: { [statusesMember]: statuses } }),
  };
}
