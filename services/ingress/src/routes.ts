import type { FastifyInstance, FastifyRequest } from "fastify";
import { Fault, mcpRoutes, type McpRoute } from "@sluice/contracts";
import { a2aDoorsOf, type A2aDoors } from "./a2a/a2a-routes.ts";
import { addDoor, methodRefusal, others, type Door, type Fail } from "./doors.ts";
import type { Mcp } from "./mcp.ts";
import type { PathCalls } from "./path-calls.ts";
import { resourcePaths, type ProtectedResource } from "./protected-resource.ts";
import type { SseSessions } from "./sse-sessions.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether nobody needs to say who he is. */
    isPublic?: boolean;
    /** Whether the path itself says who may come. */
    provesItself?: boolean;
    /** Whether one may say who he is and need not. */
    takesAnybody?: boolean;
  }
}

/** What carries requests out, and who knows which of them a tenant takes. */
export interface Doors extends A2aDoors {
  readonly mcp: Mcp;
  readonly sse: SseSessions;
  readonly paths: PathCalls;
}

/** The paths that agents call. */
export function addRoutes(app: FastifyInstance, doors: Doors, fail: Fail): void {
  const { tenants } = doors;
  for (const door of [...mcpDoorsOf(doors), ...a2aDoorsOf(doors)]) addDoor(app, door, { tenants, fail });
}

function mcpDoorsOf({ mcp, sse, paths }: Doors): Door[] {
  const carriers: Record<McpRoute, Door["carry"]> = {
    "/mcp": (received) => mcp.handle(received),
    "/mcp/:server": (received) => mcp.handle(received),
    "/mcp/sse": (received) => sse.open(received),
    "/mcp/:server/sse": (received) => sse.open(received),
    "/mcp/messages": (received) => sse.post(received),
    "/mcp/initialize": (received) => paths.carry(received, "initialize"),
    "/mcp/tools/list": (received) => paths.carry(received, "tools/list"),
    "/mcp/tools/call": (received) => paths.carry(received, "tools/call"),
    "/mcp/resources/list": (received) => paths.carry(received, "resources/list"),
    "/mcp/resources/read": (received) => paths.carry(received, "resources/read"),
    "/mcp/registration": (received) => paths.register(received),
    "/mcp/:server/registration": (received) => paths.register(received),
  };
  return (Object.keys(carriers) as McpRoute[]).map((url) => ({
    url,
    methods: mcpRoutes[url],
    protocol: "mcp",
    carry: carriers[url],
    isOfSession: url === "/mcp/messages",
  }));
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
    app.route({ ...others(url, ["GET"]), handler: (_request, reply) => fail(reply, methodRefusal(reply, ["GET"])) });
  }
}
