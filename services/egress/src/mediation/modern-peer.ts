import { Fault } from "@sluice/contracts";
import { encodeHeaderValue } from "@sluice/relay";
import { paramHeaders, type ToolSchemas } from "./param-headers.ts";
import { deafSink, type About, type Client, type Ids, type Peer, type Sink, type Wanted } from "./peer.ts";
import {
  isObject,
  metaOf,
  objectOf,
  resultWith,
  RpcError,
  without,
  type Members,
  type Request,
  type RpcMessage,
} from "./rpc.ts";
import { send, type Line, type Received } from "./wire.ts";

export const modernVersion = "2026-07-28";
export const metaPrefix = "io.modelcontextprotocol/";
const maxRounds = 32;
/** Refusals by the transport (MCP 2026-07-28, Streamable HTTP): the other side speaks this era. */
const modernErrors = new Set([-32020, -32021, -32022]);

export interface ModernPeerOptions {
  readonly line: Line;
  readonly client: Client;
  readonly ids: Ids;
  readonly schemas: ToolSchemas;
  /** The client speaks this era too: what the upstream wants to know of it is handed on as the result. */
  readonly relaysInput: boolean;
}

/** An upstream of the modern era (MCP 2026-07-28): every request stands for itself. */
export class ModernPeer implements Peer {
  readonly #options: ModernPeerOptions;

  constructor(options: ModernPeerOptions) {
    this.#options = options;
  }

  get server(): string {
    return this.#options.line.upstream.endpoint.name;
  }

  async about(signal: AbortSignal): Promise<About> {
    return aboutOf(await this.#once({ method: "server/discover" }, deafSink(signal)));
  }

  async request(request: Request, sink: Sink): Promise<Members> {
    let asked = request;
    for (let round = 0; round < maxRounds; round++) {
      const result = await this.#once(asked, sink);
      if (result["resultType"] !== "input_required" || this.#options.relaysInput) return result;
      asked = { ...request, params: { ...request.params, ...(await answersTo(result, sink)) } };
    }
    throw new Fault("upstream_failed", `the upstream asked for input ${maxRounds} times`);
  }

  /** The only notice of this era says that a request is cancelled, and that is said by hanging up. */
  async notify(): Promise<void> {}

  async listen(wanted: Wanted, sink: Sink): Promise<void> {
    const told: Sink = {
      ...sink,
      notify: ({ method, params = {} }) => {
        if (method === "notifications/subscriptions/acknowledged") return;
        const meta = without(metaOf(params), `${metaPrefix}subscriptionId`);
        sink.notify({
          method,
          params: { ...without(params, "_meta"), ...(Object.keys(meta).length > 0 && { _meta: meta }) },
        });
      },
    };
    await this.#once({ method: "subscriptions/listen", params: { notifications: wanted } }, told);
  }

  async close(): Promise<void> {}

  async #once(request: Request, sink: Sink): Promise<Members> {
    const { line, ids } = this.#options;
    const message = { jsonrpc: "2.0", id: ids.next(), method: request.method, params: this.#params(request) };
    const received = await send(line, {
      http: "POST",
      message,
      headers: await this.#headers(request, sink.signal),
      signal: sink.signal,
    });
    return resultWith(received.status, await answerOf(received, message.id, sink));
  }

  #params({ params }: Request): Members {
    const { info, capabilities, logLevel } = this.#options.client;
    const meta = {
      ...metaOf(params),
      [`${metaPrefix}protocolVersion`]: modernVersion,
      [`${metaPrefix}clientInfo`]: info,
      [`${metaPrefix}clientCapabilities`]: capabilities,
      ...(logLevel !== undefined && { [`${metaPrefix}logLevel`]: logLevel }),
    };
    return { ...params, _meta: meta };
  }

  async #headers({ method, params }: Request, signal: AbortSignal): Promise<Record<string, string>> {
    const name = params?.["name"] ?? params?.["uri"];
    const named = ["tools/call", "prompts/get", "resources/read"].includes(method) && typeof name === "string";
    return {
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": modernVersion,
      "mcp-method": method,
      ...(named && { "mcp-name": encodeHeaderValue(name) }),
      ...(method === "tools/call" && named
        ? paramHeaders(await this.#options.schemas(name, signal), objectOf(params?.["arguments"]))
        : {}),
    };
  }
}

/** The answer to the request with this id; what comes before it goes to the sink. */
async function answerOf(received: Received, id: unknown, sink: Sink): Promise<RpcMessage> {
  const messages = received.messages();
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const { method, id: given } = next.value;
    if (method === undefined && (given === id || given === undefined || given === null)) {
      received.letEnd(messages);
      return next.value;
    }
    if (method !== undefined && given === undefined) sink.notify(next.value as Request);
    await sink.room?.();
  }
  throw new Fault("upstream_failed", "the upstream ended without an answer");
}

async function answersTo(result: Members, sink: Sink): Promise<Members> {
  const asked = Object.entries(objectOf(result["inputRequests"]));
  const state = result["requestState"];
  const answers = await Promise.all(
    asked.map(async ([key, request]) => [key, await sink.ask(readInput(request))] as const),
  );
  return {
    ...(answers.length > 0 && { inputResponses: Object.fromEntries(answers) }),
    ...(state !== undefined && { requestState: state }),
  };
}

function readInput(request: unknown): Request {
  if (!isObject(request) || typeof request["method"] !== "string")
    throw new Fault("upstream_failed", "the upstream asks for input in a way that cannot be read");
  return { method: request["method"], params: objectOf(request["params"]) };
}

export function aboutOf(result: Members): About {
  const instructions = result["instructions"];
  return {
    capabilities: objectOf(result["capabilities"]),
    serverInfo: objectOf(result["serverInfo"] ?? objectOf(result["_meta"])[`${metaPrefix}serverInfo`]),
    ...(typeof instructions === "string" && { instructions }),
  };
}

/** Whether an error says that the upstream speaks the modern era, and why not this call. */
export function isModernRefusal(error: unknown): boolean {
  return error instanceof RpcError && modernErrors.has(error.code);
}
