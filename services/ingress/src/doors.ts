import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Fault, mcpRoutes, type HttpMethod, type McpRoute, type MethodSection } from "@sluice/contracts";
import type { HttpRequest } from "./batches.ts";
import type { Mcp } from "./mcp.ts";
import type { PathMethod } from "./path-call.ts";
import type { PathCalls } from "./path-calls.ts";
import type { SseSessions } from "./sse-sessions.ts";
import type { Tenants } from "./tenants.ts";

/** What carries requests out, and who knows which of them a tenant takes. */
export interface Doors {
  readonly mcp: Mcp;
  readonly sse: SseSessions;
  readonly paths: PathCalls;
  readonly tenants: Tenants;
}

/** Answers a request with what went wrong. */
export type Fail = (reply: FastifyReply, thrown: unknown) => void;

interface Door {
  readonly url: McpRoute;
  readonly carry: (received: HttpRequest) => Promise<void>;
}

/** The methods of MCP that have a path of their own. */
const methodPaths: readonly PathMethod[] = [
  "initialize",
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/read",
];

type DoorRequest = FastifyRequest<{ Params: { server?: string } }>;

/** Serves every path that agents can call, by the methods that it has and the tenant left it (P20). */
export function addDoors(app: FastifyInstance, doors: Doors, fail: Fail): void {
  for (const { url, carry } of doorsOf(doors)) {
    const methods: readonly HttpMethod[] = mcpRoutes[url];
    const left = ({ principal, params }: DoorRequest): readonly HttpMethod[] => {
      const narrowed = principal === null ? undefined : doors.tenants.methodsOf(principal);
      return narrowed === undefined ? methods : methodsLeft(methods, narrowed, pathOf(url, params.server));
    };
    const refuse = (reply: FastifyReply, allowed: readonly HttpMethod[]) => {
      reply.raw.setHeader("allow", allowed.join(", "));
      const hint = allowed.length === 0 ? "this path is closed" : `use ${anyOf(allowed)}`;
      fail(reply, new Fault("method_not_allowed", hint));
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
        if (!has(allowed, raw.method)) return void refuse(reply, allowed);
        const received = { request: raw, response: reply.raw, principal, server: params.server };
        carry(received).catch((error: unknown) => fail(reply, error));
      },
    });
    app.route({
      method: everyMethod.filter((method) => !has(methods, method)),
      url,
      handler: (request: DoorRequest, reply) => refuse(reply, left(request)),
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
    { url: "/mcp/messages", carry: (received) => sse.post(received) },
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

/** What a tenant has left of a path's methods (seed 001 §1). */
function methodsLeft(
  methods: readonly HttpMethod[],
  { everywhere, at }: MethodSection,
  path: string,
): readonly HttpMethod[] {
  return methods.filter((method) => everywhere.includes(method) && at[path]?.includes(method) !== false);
}

const pathOf = (url: McpRoute, server: string | undefined) =>
  server === undefined ? url : url.replace(":server", server);

const has = (methods: readonly string[], method: string | undefined) =>
  method !== undefined && methods.includes(method);

const anyOf = (methods: readonly string[]) => methods.join(", ").replace(/, (\w+)$/, " or $1");

const everyMethod = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] as const;
