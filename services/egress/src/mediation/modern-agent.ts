import type { CallHead } from "@sluice/contracts";
import type { Ending } from "../active-call.ts";
import { metaPrefix, modernVersion } from "./modern-peer.ts";
import { shownNotice } from "./client.ts";
import { Gathered } from "./changes.ts";
import { changedKind } from "./names.ts";
import { plainStatus } from "./plain-status.ts";
import { operate } from "./operations.ts";
import type { Output } from "./output.ts";
import { nobodyAsked, type Client, type Sink, type Wanted } from "./peer.ts";
import { mergeCapabilities, type Route } from "./route.ts";
import { gatewayInfo, statusesMember } from "./own-words.ts";
import { decodeHeader, paramHeaders, paramNames, sameValue } from "./param-headers.ts";
import {
  invalidParams,
  isObject,
  metaOf,
  methodNotFound,
  objectOf,
  RpcError,
  textOf,
  type Members,
  type Request,
  type RpcMessage,
} from "./rpc.ts";
import { Talk, type ParkedTalks } from "./talk.ts";

/** Everything about one call of a modern agent. */
export interface ModernCall {
  readonly head: CallHead;
  readonly message: RpcMessage;
  readonly client: Client;
  readonly route: Route;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** Hands over what one server says of its own accord. */
  readonly listen: (server: string, wanted: Wanted, sink: Sink) => Promise<void>;
}

const operations = new Set([
  "tools/list",
  "tools/call",
  "prompts/list",
  "prompts/get",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "completion/complete",
]);
/** Methods whose object stands in a header field too, and which parameter that is. */
const namedBy = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
]);

/** The HTTP status of an error answer (MCP 2026-07-28, Streamable HTTP). */
export function modernStatus(error: RpcError, head: Pick<CallHead, "isPlain" | "method">): number {
  if (head.isPlain === true) return plainStatus(error, head.method);
  if (error.code === methodNotFound) return 404;
  return error instanceof BadRequest ? 400 : 200;
}

/** The request itself breaks the rules of its era. */
class BadRequest extends RpcError {}

/** Serves agents of the modern era with upstreams of any (MCP 2026-07-28). */
export class ModernAgents {
  readonly #parked: ParkedTalks;

  constructor(parked: ParkedTalks) {
    this.#parked = parked;
  }

  /** @throws RpcError, Fault */
  async serve(call: ModernCall): Promise<Ending> {
    const { message, output } = call;
    const { method = "", id } = message;
    if (id === undefined || id === null) return await output.finish(undefined, 202);
    checkRequest(call);
    if (method === "server/discover") return await this.#finish(call, await discover(call), 0);
    if (method === "subscriptions/listen") return await subscribe(call, id);
    if (method === "tools/call" && call.head.isPlain !== true) await checkParams(call);
    if (!operations.has(method)) throw new RpcError(methodNotFound, `Method not found: ${method}`);
    return await this.#operate(call);
  }

  async #operate(call: ModernCall): Promise<Ending> {
    const { head, message, client, route, output, signal } = call;
    const request: Request = { method: message.method ?? "", params: message.params ?? {} };
    const state = request.params?.["requestState"];
    let ttlMs: number | undefined;
    let talk: Talk;
    if (this.#parked.isState(state)) {
      talk = this.#parked.resume(state, head, request);
      talk.answer(request.params?.["inputResponses"], route);
    } else {
      talk = new Talk(client.capabilities, route);
      talk.begin(async (sink) => {
        const operated = await operate(route, request, sink);
        ttlMs = operated.ttlMs;
        return operated.result;
      });
    }
    const onAbort = () => talk.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    const round = await talk.round({
      notify: (notice) => {
        const shown = shownNotice(notice, client, metaOf(message.params)["progressToken"]);
        if (shown !== undefined) output.event({ jsonrpc: "2.0", ...shown });
      },
      room: () => output.room(),
    });
    signal.removeEventListener("abort", onAbort);
    if ("result" in round) return await this.#finish(call, round.result, ttlMs);
    const requestState = this.#parked.park(talk, head, request);
    const { inputRequests } = round;
    return await this.#finish(call, { resultType: "input_required", inputRequests, requestState }, undefined);
  }

  async #finish({ message, output }: ModernCall, result: Members, ttlMs: number | undefined): Promise<Ending> {
    const { id = null, method = "" } = message;
    return await output.finish({ jsonrpc: "2.0", id, result: modernResult(method, result, ttlMs) });
  }
}

/** What a legacy result lacks. */
function modernResult(method: string, result: Members, ttlMs = 0): Members {
  if (result["resultType"] === "input_required") return result;
  const isCacheable = /\/(?:list|read|discover)$/.test(method);
  return {
    ...result,
    resultType: "complete",
    ...(isCacheable && { ttlMs: result["ttlMs"] ?? ttlMs, cacheScope: "private" }),
  };
}

async function discover({ route, signal }: ModernCall): Promise<Members> {
  const { answers, statuses } = await route.gather((server) => route.about(server, signal));
  const [first] = answers;
  const isOne = !route.isMerged && first !== undefined;
  const instructions = answers.flatMap(({ answer }) => answer.instructions ?? []).join("\n\n");
  return {
    supportedVersions: [modernVersion],
    capabilities: {
      ...mergeCapabilities(answers.map(({ answer }) => answer.capabilities)),
      ...(isOne && { ...pick(first.answer.capabilities, "experimental", "extensions") }),
    },
    ...(instructions !== "" && { instructions }),
    _meta: {
      [`${metaPrefix}serverInfo`]: isOne ? first.answer.serverInfo : gatewayInfo,
      ...(route.isMerged && { [statusesMember]: statuses }),
    },
  };
}

function pick(members: Members, ...names: string[]): Members {
  return Object.fromEntries(names.filter((name) => members[name] !== undefined).map((name) => [name, members[name]]));
}

const changes = {
  tools: "toolsListChanged",
  prompts: "promptsListChanged",
  resources: "resourcesListChanged",
} as const;

async function subscribe(call: ModernCall, id: string | number): Promise<Ending> {
  const { route, output, signal, message } = call;
  const asked = objectOf(message.params?.["notifications"]);
  const { answers } = await route.gather((server) => route.about(server, signal));
  const capabilities = mergeCapabilities(answers.map(({ answer }) => answer.capabilities));
  const honoured: Record<string, unknown> = {};
  for (const [capability, change] of Object.entries(changes))
    if (asked[change] === true && objectOf(capabilities[capability])["listChanged"] === true) honoured[change] = true;
  const uris = asked["resourceSubscriptions"];
  const mayWatch = objectOf(capabilities["resources"])["subscribe"] === true;
  const renames = await watched(route, mayWatch ? uris : []);
  const allowed = new Set([...renames.values()].flatMap((names) => [...names.values()]));
  if (Array.isArray(uris) && mayWatch)
    honoured["resourceSubscriptions"] = uris.filter((uri) => allowed.has(uri as string));
  const meta = { [`${metaPrefix}subscriptionId`]: id };
  const say = (method: string, params: Members) =>
    output.event({ jsonrpc: "2.0", method, params: { ...params, _meta: { ...metaOf(params), ...meta } } });
  say("notifications/subscriptions/acknowledged", { notifications: honoured });
  await listenToAll(call, { wanted: honoured, renames, say });
  const result = { resultType: "complete", _meta: meta };
  return await output.finish({ jsonrpc: "2.0", id, result });
}

/** By server: its resources that may be watched → what the agent calls them. */
async function watched(route: Route, uris: unknown): Promise<Map<string, Map<string, string>>> {
  const byServer = new Map<string, Map<string, string>>();
  for (const uri of Array.isArray(uris) ? uris.filter((one) => typeof one === "string") : []) {
    const target = await route.resolve("resources", uri);
    if (target === undefined) continue;
    const names = byServer.get(target.server) ?? new Map<string, string>();
    byServer.set(target.server, names.set(target.own, uri));
  }
  for (const names of byServer.values()) {
    const own = [...names.keys()];
    const may = await route.mayUse("resources", own);
    own.forEach((name, index) => may[index] !== true && names.delete(name));
  }
  return byServer;
}

async function listenToAll(
  { route, signal, listen, output }: ModernCall,
  {
    wanted,
    renames,
    say,
  }: {
    wanted: Wanted;
    renames: Map<string, Map<string, string>>;
    say: (method: string, params: Members) => void;
  },
): Promise<void> {
  const gathered = new Gathered((method) => say(method, {}));
  await Promise.allSettled(
    route.servers.map(async (server) => {
      const names = renames.get(server) ?? new Map<string, string>();
      const sink: Sink = {
        signal,
        ask: nobodyAsked,
        room: () => output.room(),
        notify: ({ method, params = {} }) => {
          const uri = names.get(textOf(params["uri"]));
          if (method === "notifications/resources/updated" && uri !== undefined) say(method, { ...params, uri });
          const kind = changedKind(method);
          if (kind !== undefined && wanted[changes[kind]] === true) gathered.add(method);
        },
      };
      await listen(server, { ...wanted, resourceSubscriptions: [...names.keys()] }, sink);
    }),
  );
  gathered.close();
}

/** @throws BadRequest for a request that breaks the rules of the transport (MCP 2026-07-28, Streamable HTTP, Request Metadata). */
function checkRequest({ head, message }: ModernCall): void {
  const meta = metaOf(message.params);
  const version = meta[`${metaPrefix}protocolVersion`];
  const { headers } = head;
  if (typeof version !== "string") throw new BadRequest(invalidParams, `_meta needs "${metaPrefix}protocolVersion"`);
  if (headers["mcp-protocol-version"] !== version) throw mismatch("MCP-Protocol-Version");
  if (version !== modernVersion)
    throw new BadRequest(-32022, "Unsupported protocol version", { supported: [modernVersion], requested: version });
  if (!isObject(meta[`${metaPrefix}clientCapabilities`]))
    throw new BadRequest(invalidParams, `_meta needs "${metaPrefix}clientCapabilities"`);
  if (headers["mcp-method"] !== message.method) throw mismatch("Mcp-Method");
  const name = namedBy.get(message.method ?? "");
  if (name === undefined) return;
  const sent = headers["mcp-name"];
  if (sent === undefined || decodeHeader(sent) !== message.params?.[name]) throw mismatch("Mcp-Name");
}

/** A tool's arguments that it wants mirrored into header fields must say the same there. @throws BadRequest */
async function checkParams({ head, message, route }: ModernCall): Promise<void> {
  const name = message.params?.["name"];
  if (typeof name !== "string") return;
  const target = await route.resolve("tools", name);
  if (target === undefined) return;
  if (route.isDecided(target.own)) await route.requireUsable(target);
  const { items } = await route.listing(target.server, "tools");
  const schema = objectOf(items.find((item) => item["name"] === target.own)?.["inputSchema"]);
  const expected = paramHeaders(schema, objectOf(message.params?.["arguments"]));
  for (const header of paramNames(schema)) {
    const sent = head.headers[header];
    const isEqual =
      sent === undefined || expected[header] === undefined
        ? sent === expected[header]
        : sameValue(sent, expected[header]);
    if (!isEqual) throw mismatch(header);
  }
}

function mismatch(header: string): BadRequest {
  return new BadRequest(-32020, `Header mismatch: ${header} is missing or differs from the body`);
}
