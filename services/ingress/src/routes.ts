import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Fault, mcpRoutes, type HttpMethod, type McpRoute, type MethodSection } from "@sluice/contracts";
import type { HttpRequest } from "./batches.ts";
import type { Mcp } from "./mcp.ts";
import type { PathMethod } from "./path-call.ts";
import type { PathCalls } from "./path-calls.ts";
import { resourcePaths, type ProtectedResource } from "./protected-resource.ts";
import { requireReach, requireScopes } from "./reach.ts";
import type { SseSessions } from "./sse-sessions.ts";
import type { Tenants } from "./tenants.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether nobody needs to say who he is. */
    isPublic?: boolean;
    /** Whether the path itself says who may come. */
    provesItself?: boolean;
  }
}

/** Answers with what went wrong. */
export type Fail = (reply: FastifyReply, thrown: unknown) => void;

interface Door {
  readonly url: McpRoute;
  readonly carry: (received: HttpRequest) => Promise<void>;
  /** Whether the path does not say which server it is about. */
  readonly isOfSession?: boolean;
}

/** The methods of MCP that have a path of their own. */
const methodPaths: readonly PathMethod[] = [
  "initialize",
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/read",
];

/** What carries requests out, and who knows which of them a tenant takes. */
export interface Doors {
  readonly mcp: Mcp;
  readonly sse: SseSessions;
  readonly paths: PathCalls;
  readonly tenants: Tenants;
}

type DoorRequest = FastifyRequest<{ Params: { server?: string } }>;

/** The paths of MCP, by the methods that each has and the tenant left it (P20), and what each answers to others. */
export function addRoutes(app: FastifyInstance, doors: Doors, fail: Fail): void {
  for (const { url, carry, isOfSession = false } of doorsOf(doors)) {
    const methods: readonly HttpMethod[] = mcpRoutes[url];
    const left = ({ principal, params }: DoorRequest): readonly HttpMethod[] => {
      const narrowed = principal === null ? undefined : doors.tenants.methodsOf(principal);
      return narrowed === undefined ? methods : methodsLeft(methods, narrowed, pathOf(url, params.server));
    };
    app.route({
      method: [...methods],
      url,
      exposeHeadRoute: false,
      handler: (request: DoorRequest, reply) => {
        reply.hijack();
        const { principal, raw, params } = request;
        if (principal === null) return void fail(reply, new Fault("unauthorized", "not authenticated"));
        const allowed = left(request);
        if (!has(allowed, raw.method)) return void refuseMethod(reply, allowed, fail);
        try {
          requireScopes(principal, "mcp");
          if (!isOfSession) requireReach(principal, params.server);
        } catch (error) {
          return void fail(reply, error);
        }
        const received = { request: raw, response: reply.raw, principal, server: params.server };
        carry(received).catch((error: unknown) => fail(reply, error));
      },
    });
    app.route({
      ...others(url, methods),
      handler: (request: DoorRequest, reply) => refuseMethod(reply, left(request), fail),
    });
  }
}

function doorsOf({ mcp, sse, paths }: Doors): Door[] {
  return [
    ...(["/mcp", "/mcp/:server"] as const).map((url): Door => ({ url, carry: (received) => mcp.handle(received) })),
    ...(["/mcp/sse", "/mcp/:server/sse"] as const).map((url): Door => ({
      url,
      carry: (received) => sse.open(received),
    })),
    { url: "/mcp/messages", carry: (received) => sse.post(received), isOfSession: true },
    ...methodPaths.map((method): Door => ({
      url: `/mcp/${method}`,
      carry: (received) => paths.carry(received, method),
    })),
    ...(["/mcp/registration", "/mcp/:server/registration"] as const).map((url): Door => ({
      url,
      carry: (received) => paths.register(received),
    })),
  ];
}

/** What clients need to log in (RFC 9728 §3): the only paths here that are open to everybody. */
export function addMetadata(app: FastifyInstance, resource: ProtectedResource, fail: Fail): void {
  for (const url of resourcePaths) {
    app.get(
      url,
      { exposeHeadRoute: false, config: { isPublic: true } },
      (request: FastifyRequest<{ Params: { server?: string } }>, reply) => {
        const metadata = resource.metadata(url, request.params.server);
        if (metadata === undefined) return void fail(reply, new Fault("not_found", "there is nothing at this path"));
        const body = JSON.stringify(metadata);
        reply.hijack();
        reply.raw
          .writeHead(200, {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(body),
            "cache-control": "public, max-age=60",
          })
          .end(body);
      },
    );
    app.route({ ...others(url, ["GET"]), handler: (_request, reply) => refuseMethod(reply, ["GET"], fail) });
  }
}

/** What a tenant has left of a path's methods (seed 001 §1). */
function methodsLeft(
  methods: readonly HttpMethod[],
  { everywhere, at }: MethodSection,
  path: string,
): readonly HttpMethod[] {
  return methods.filter((method) => everywhere.includes(method) && at[path]?.includes(method) !== false);
}

export function refuseMethod(reply: FastifyReply, allowed: readonly HttpMethod[], fail: Fail): void {
  reply.raw.setHeader("allow", allowed.join(", "));
  fail(reply, new Fault("method_not_allowed", allowed.length === 0 ? "this path is closed" : `use ${anyOf(allowed)}`));
}

/** A path, asked for by any method but these. */
export const others = (url: string, methods: readonly HttpMethod[]) => ({
  url,
  method: everyMethod.filter((method) => !has(methods, method)),
});

const pathOf = (url: McpRoute, server: string | undefined) =>
  server === undefined ? url : url.replace(":server", server);

const has = (methods: readonly string[], method: string | undefined) =>
  method !== undefined && methods.includes(method);

const anyOf = (methods: readonly string[]) => methods.join(", ").replace(/, (\w+)$/, " or $1");

const everyMethod = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] as const;
