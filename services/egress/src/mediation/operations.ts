import { createHash } from "node:crypto";
import type { Sink } from "./peer.ts";
import {
  invalidParams,
  isObject,
  methodNotFound,
  objectOf,
  RpcError,
  textOf,
  type Members,
  type Request,
} from "./rpc.ts";
import { kindOfMethod, type Exposed, type ListKind } from "./names.ts";
import { statusesMember } from "./own-words.ts";
import { renameResources } from "./resource-names.ts";
import type { Route } from "./route.ts";

/** Fits one message of the bus with room to spare. */
const pageBytes = 192 * 1024;

/** A result in either era, and how long it may be kept where that is known. */
export interface Operated {
  readonly result: Members;
  readonly ttlMs?: number;
}

/** Methods that name what they act on: whose it is decides which server is asked. */
const named: Readonly<
  Record<string, { member: "name" | "uri"; kind: "tools" | "prompts" | "resources"; what: string }>
> = {
  "tools/call": { member: "name", kind: "tools", what: "tool" },
  "prompts/get": { member: "name", kind: "prompts", what: "prompt" },
  "resources/read": { member: "uri", kind: "resources", what: "resource" },
  "resources/subscribe": { member: "uri", kind: "resources", what: "resource" },
  "resources/unsubscribe": { member: "uri", kind: "resources", what: "resource" },
};

/** Carries out a request that is the same in both eras. @throws RpcError, Fault */
export async function operate(route: Route, request: Request, sink: Sink): Promise<Operated> {
  const kind = kindOfMethod(request.method);
  if (kind !== undefined) return await listPage(route, kind, request.params);
  const rule = Object.hasOwn(named, request.method) ? named[request.method] : undefined;
  if (rule !== undefined) return { result: await callNamed(route, request, { ...rule, sink }) };
  if (request.method === "completion/complete") return { result: await complete(route, request, sink) };
  const [only] = route.servers;
  if (route.isMerged || only === undefined) throw new RpcError(methodNotFound, `Method not found: ${request.method}`);
  return { result: await route.withPeer(only, sink, (peer) => peer.request(request, sink)) };
}

async function listPage(route: Route, kind: ListKind, params: Members | undefined): Promise<Operated> {
  const { exposed, freshUntil, statuses } = await route.list(kind);
  const edition = editionOf(exposed);
  const from = readCursor(params?.["cursor"], { kind, edition, size: exposed.length });
  const items: Members[] = [];
  let bytes = 0;
  for (const { item } of exposed.slice(from)) {
    bytes += Buffer.byteLength(JSON.stringify(item)) + 1;
    if (!route.isWhole && items.length > 0 && bytes > pageBytes) break;
    items.push(item);
  }
  const next = from + items.length;
  return {
    result: {
      [kind]: items,
      ...(next < exposed.length && { nextCursor: writeCursor(kind, edition, next) }),
      ...(route.isMerged && { _meta: { [statusesMember]: statuses } }),
    },
    ttlMs: Math.max(0, freshUntil - Date.now()),
  };
}

/** A cursor holds for this list as this caller sees it now, and for no other. */
function editionOf(exposed: readonly Exposed[]): string {
  const names = exposed.map(({ server, name }) => `${server}\0${name}\0`).join("");
  return createHash("sha256").update(names).digest("base64url").slice(0, 22);
}

function writeCursor(kind: ListKind, edition: string, from: number): string {
  return Buffer.from(JSON.stringify([kind, edition, from])).toString("base64url");
}

function readCursor(cursor: unknown, expected: { kind: ListKind; edition: string; size: number }): number {
  if (cursor === undefined) return 0;
  try {
    const [kind, edition, from] = JSON.parse(
      Buffer.from(typeof cursor === "string" ? cursor : "", "base64url").toString(),
    ) as unknown[];
    const isValid = kind === expected.kind && edition === expected.edition && Number.isInteger(from);
    if (isValid && (from as number) > 0 && (from as number) < expected.size) return from as number;
  } catch {
    // Falls through to the refusal.
  }
  throw new RpcError(invalidParams, "the cursor is unknown, or the list has changed: begin anew without one");
}

interface Naming {
  readonly member: "name" | "uri";
  readonly kind: "tools" | "prompts" | "resources";
  readonly what: string;
  readonly sink: Sink;
}

async function callNamed(route: Route, request: Request, { member, kind, what, sink }: Naming): Promise<Members> {
  const name = request.params?.[member];
  if (typeof name !== "string")
    throw new RpcError(invalidParams, `${request.method} needs "params.${member}" as a string`);
  if (request.params?.["task"] !== undefined)
    throw new RpcError(invalidParams, "tasks are not available at this address: call without one");
  const target = await route.target(kind, name);
  if (target === undefined && kind === "resources" && route.isDecided(name)) return await askEach(route, request, sink);
  if (target === undefined) throw new RpcError(invalidParams, `Unknown ${what}: ${name}`);
  if (kind === "tools") await route.requireUsable(target);
  const params = target.own === name ? request.params : { ...request.params, [member]: target.own };
  const result = await route.withPeer(target.server, sink, (peer) =>
    peer.request({ method: request.method, params: params ?? {} }, sink),
  );
  if (kind !== "resources") return route.isMerged ? await renameResources(route, target.server, result) : result;
  return target.own === name ? result : renameContents(result, target.own, name);
}

/** A resource that nobody lists may come from a template: the servers are asked in turn until one has it. */
async function askEach(route: Route, request: Request, sink: Sink): Promise<Members> {
  let refusal: Error | undefined;
  for (const server of route.servers) {
    try {
      const { capabilities } = await route.about(server, sink.signal);
      if (capabilities["resources"] === undefined) continue;
      route.actOn(server);
      return await route.withPeer(server, sink, (peer) => peer.request(request, sink));
    } catch (error) {
      if (sink.signal.aborted) throw error;
      route.actOn(undefined);
      if (!(refusal instanceof RpcError)) refusal = error as Error;
    }
  }
  throw refusal ?? new RpcError(invalidParams, `Unknown resource: ${textOf(request.params?.["uri"])}`);
}

function renameContents(result: Members, own: string, name: string): Members {
  const contents = result["contents"];
  if (!Array.isArray(contents)) return result;
  return {
    ...result,
    contents: contents.map((content: unknown) =>
      isObject(content) && content["uri"] === own ? { ...content, uri: name } : content,
    ),
  };
}

async function complete(route: Route, request: Request, sink: Sink): Promise<Members> {
  const ref = objectOf(request.params?.["ref"]);
  const isPrompt = ref["type"] === "ref/prompt";
  const member = isPrompt ? "name" : "uri";
  const name = ref[member];
  if (typeof name !== "string") throw new RpcError(invalidParams, `completion/complete needs "params.ref.${member}"`);
  const target = isPrompt ? await route.target("prompts", name) : await templateOwner(route, name);
  if (target === undefined) throw new RpcError(invalidParams, `Unknown ${isPrompt ? "prompt" : "resource"}: ${name}`);
  route.actOn(target.server);
  const params = { ...request.params, ref: { ...ref, [member]: target.own } };
  return await route.withPeer(target.server, sink, (peer) => peer.request({ method: request.method, params }, sink));
}

async function templateOwner(route: Route, name: string): Promise<{ server: string; own: string } | undefined> {
  const known = await route.target("resources", name);
  if (known !== undefined) return known;
  const { exposed } = await route.list("resourceTemplates");
  return exposed.find((one) => one.name === name && route.isDecided(one.own));
}
