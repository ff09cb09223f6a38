import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { Fault, mcpRoutes, toFault, type HttpMethod, type McpRoute, type MethodSection } from "@sluice/contracts";
import { createGuard } from "@sluice/runtime";
import { Counter, Histogram, type Log, type Registry } from "@sluice/telemetry";
import { authenticate } from "./auth/index.ts";
import type { HttpRequest } from "./batches.ts";
import type { IngressConfig } from "./config.ts";
import type { Mcp } from "./mcp.ts";
import type { PathMethod } from "./path-call.ts";
import type { PathCalls } from "./path-calls.ts";
import { renderFault } from "./render.ts";
import { reportedFault, RequestFault } from "./request-fault.ts";
import type { SseSessions } from "./sse-sessions.ts";
import type { Principal, Tenants } from "./tenants.ts";

declare module "fastify" {
  interface FastifyRequest {
    principal: Principal | null;
  }
}

export interface ServerParts {
  readonly config: IngressConfig;
  readonly log: Log;
  readonly metrics: Registry;
  readonly tenants: Tenants;
  readonly mcp: Mcp;
  readonly sse: SseSessions;
  readonly paths: PathCalls;
}

/** The agents' door. Every request, known route or not, is authenticated before anything else is looked at (P1). */
export function createServer({ config, log, metrics, tenants, mcp, sse, paths }: ServerParts): FastifyInstance {
  const guard = createGuard({
    publicUrl: config.PUBLIC_URL,
    allowedHosts: config.ALLOWED_HOSTS,
    allowedOrigins: config.ALLOWED_ORIGINS,
  });
  const fail = failureRenderer(log);
  const enter = ({ headers, rawHeaders }: IncomingMessage): Principal => {
    requireOneHost(rawHeaders);
    guard(headers);
    return authenticate(headers, tenants);
  };
  const app = fastify({
    logger: false,
    // A path that the router cannot read never reaches the hooks below.
    frameworkErrors: (_error, request, reply) => {
      try {
        enter(request.raw);
        fail(reply, new Fault("not_found", "there is nothing at this path"));
      } catch (error) {
        fail(reply, error);
      }
    },
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: 75_000,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 128 },
    http: { headersTimeout: config.HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 1_000, maxHeaderSize: 32 * 1024 },
  });
  app.server.maxConnections = config.MAX_CONNECTIONS;
  app.decorateRequest("principal", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.setErrorHandler((error, _request, reply) => void fail(reply, error));
  app.setNotFoundHandler(
    (_request, reply) => void fail(reply, new Fault("not_found", "there is nothing at this path")),
  );
  observe(app, metrics);
  app.addHook("onRequest", (request, reply, next) => {
    try {
      request.principal = enter(request.raw);
      next();
    } catch (error) {
      fail(reply, error);
    }
  });
  addRoutes(app, { mcp, sse, paths, tenants }, fail);
  return app;
}

type Fail = (reply: FastifyReply, thrown: unknown) => void;

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

type Doors = Pick<ServerParts, "mcp" | "sse" | "paths" | "tenants">;
type DoorRequest = FastifyRequest<{ Params: { server?: string } }>;

function addRoutes(app: FastifyInstance, { mcp, sse, paths, tenants }: Doors, fail: Fail): void {
  const doors: readonly Door[] = [
    ...(["/mcp", "/mcp/:server"] as const).map((url) => ({ url, carry: (one: HttpRequest) => mcp.handle(one) })),
    ...(["/mcp/sse", "/mcp/:server/sse"] as const).map((url) => ({ url, carry: (one: HttpRequest) => sse.open(one) })),
    { url: "/mcp/messages", carry: (received) => sse.post(received) },
    ...methodPaths.map((method) => ({
      url: `/mcp/${method}` as const,
      carry: (received: HttpRequest) => paths.carry(received, method),
    })),
    ...(["/mcp/registration", "/mcp/:server/registration"] as const).map((url) => ({
      url,
      carry: (received: HttpRequest) => paths.register(received),
    })),
  ];
  for (const { url, carry } of doors) {
    const methods: readonly HttpMethod[] = mcpRoutes[url];
    const left = ({ principal, params }: DoorRequest): readonly HttpMethod[] => {
      const narrowed = principal === null ? undefined : tenants.find(principal.tenant)?.methods;
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
        if (!(allowed as readonly string[]).includes(raw.method ?? "")) return void refuse(reply, allowed);
        const received = { request: raw, response: reply.raw, principal, server: params.server };
        carry(received).catch((error: unknown) => fail(reply, error));
      },
    });
    app.route({
      method: everyMethod.filter((method) => !(methods as readonly string[]).includes(method)),
      url,
      handler: (request: DoorRequest, reply) => refuse(reply, left(request)),
    });
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

const pathOf = (url: McpRoute, server: string | undefined) =>
  server === undefined ? url : url.replace(":server", server);

const anyOf = (methods: readonly string[]) => methods.join(", ").replace(/, (\w+)$/, " or $1");

const everyMethod = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] as const;

export async function listen(app: FastifyInstance, config: IngressConfig): Promise<number> {
  await app.listen({ host: config.HOST, port: config.PORT });
  return (app.server.address() as AddressInfo).port;
}

/** One place turns what went wrong into an answer and, where it is ours to know, a log line. */
function failureRenderer(log: Log): Fail {
  return (reply, thrown) => {
    if (!reply.sent) reply.hijack();
    const fault = reportedFault(log, thrown instanceof RequestFault ? thrown : routerFault(thrown));
    renderFault(reply.raw, fault, thrown instanceof RequestFault ? thrown.rpcId : undefined);
  };
}

/** What the router itself refuses, in our words. */
function routerFault(thrown: unknown): Fault {
  const { statusCode } = thrown as { statusCode?: number };
  if (thrown instanceof Fault || statusCode === undefined || statusCode >= 500) return toFault(thrown);
  if (statusCode === 415) return new Fault("unsupported_media_type", "send Content-Type: application/json");
  return new Fault("invalid_request", "the request cannot be read");
}

/** Two Host fields let a proxy in front and this server disagree about whom the request is for (RFC 9112 §3.2). */
function requireOneHost(rawHeaders: readonly string[]): void {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === "host") hosts++;
  if (hosts !== 1) throw new Fault("invalid_request", "send exactly one Host header");
}

function observe(app: FastifyInstance, metrics: Registry): void {
  const requests = new Counter({
    name: "sluice_requests_total",
    help: "Requests answered, by status",
    labelNames: ["method", "status"],
    registers: [metrics],
  });
  const durations = new Histogram({
    name: "sluice_request_duration_seconds",
    help: "From the request's head to the end of its answer",
    labelNames: ["method"],
    buckets: [0.002, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
    registers: [metrics],
  });
  app.server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const startedAt = performance.now();
    // What is written to a client that is gone is nobody's failure.
    response.on("error", () => {});
    response.once("close", () => {
      const method = request.method ?? "";
      requests.inc({ method, status: response.statusCode });
      durations.observe({ method }, (performance.now() - startedAt) / 1000);
    });
  });
}
