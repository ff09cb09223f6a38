import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import fastify, { type FastifyInstance, type onRequestHookHandler } from "fastify";
import { Fault, toFault } from "@sluice/contracts";
import { createGuard } from "@sluice/runtime";
import { Counter, Histogram, type Log, type Registry } from "@sluice/telemetry";
import { A2aFault } from "./a2a/a2a-fault.ts";
import { addPushRoute, pushHosts, type PushReceiver } from "./a2a/push.ts";
import { addCards } from "./a2a/card-routes.ts";
import type { Authentication } from "./auth/authentication.ts";
import type { IngressConfig } from "./config.ts";
import type { Fail } from "./doors.ts";
import type { ProtectedResource } from "./protected-resource.ts";
import { soughtBy, type DoorRecord } from "./door-record.ts";
import { renderFault, renderPlainFault } from "./render.ts";
import { PlainFault, reportedFault, RequestFault } from "./request-fault.ts";
import { addMetadata, addRoutes, type Doors } from "./routes.ts";
import type { Principal, Tenants } from "./tenants.ts";
import type { TlsDoor } from "./tls-door.ts";

declare module "fastify" {
  interface FastifyRequest {
    principal: Principal | null;
    /** Whose the address is that says by itself who may come. */
    tenant: string | undefined;
  }
}

export interface ServerParts extends Doors {
  readonly config: IngressConfig;
  readonly log: Log;
  readonly metrics: Registry;
  readonly authentication: Authentication;
  readonly resource: ProtectedResource;
  readonly tls?: TlsDoor | undefined;
  readonly push?: PushReceiver | undefined;
  readonly door: DoorRecord;
}

/**
 * The agents' door. Every request, known route or not, is authenticated before anything else is looked at (P1), but for
 * what is read in order to log in.
 */
export function createServer({
  config,
  log,
  metrics,
  authentication,
  resource,
  tls,
  push,
  door,
  ...doors
}: ServerParts): FastifyInstance {
  const guard = createGuard({
    publicUrl: config.PUBLIC_URL,
    allowedHosts: [...config.ALLOWED_HOSTS, ...pushHosts(config)],
    allowedOrigins: config.ALLOWED_ORIGINS,
  });
  const fail = failureRenderer({ log, resource, door });
  const look = ({ rawHeaders, headers }: IncomingMessage) => {
    requireSingle(rawHeaders);
    guard(headers);
  };
  const enter = (request: IncomingMessage): Principal | Promise<Principal> => {
    look(request);
    return authentication.authenticate(request);
  };
  const app = openRouter(config, tls, { enter, fail });
  observe(app, metrics);
  app.addHook(
    "onRequest",
    entrance(
      { isOpen: () => resource.isServed, showsCredential: (request) => showsAny(request, doors.tenants), look, enter },
      fail,
    ),
  );
  addRoutes(app, doors, fail);
  addMetadata(app, resource, fail);
  addPushRoute(app, push, fail);
  addCards(app, doors, fail);
  return app;
}

/** The router as it reads requests, before it has a route. */
function openRouter(
  config: IngressConfig,
  tls: TlsDoor | undefined,
  { enter, fail }: Pick<Doorkeeper, "enter"> & { readonly fail: Fail },
): FastifyInstance {
  const http = {
    headersTimeout: config.HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 32 * 1024,
  };
  const app = fastify({
    logger: false,
    // A path that the router cannot read never reaches the hooks.
    frameworkErrors: (_error, request, reply) => {
      Promise.resolve(request.raw)
        .then(enter)
        .then((principal) => {
          request.principal = principal;
          fail(reply, new Fault("not_found", "there is nothing at this path"));
        })
        .catch((error: unknown) => fail(reply, error));
    },
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: 75_000,
    return503OnClosing: false,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 128 },
    ...(tls === undefined ? { http } : { https: { ...http, ...tls.options } }),
  }) as FastifyInstance;
  tls?.attach(app.server);
  app.server.maxConnections = config.MAX_CONNECTIONS;
  app.decorateRequest("principal", null);
  app.decorateRequest("tenant", undefined);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.setErrorHandler((error, _request, reply) => void fail(reply, error));
  app.setNotFoundHandler(
    (_request, reply) => void fail(reply, new Fault("not_found", "there is nothing at this path")),
  );
  return app;
}

interface Doorkeeper {
  /** Whether what is public is served. */
  readonly isOpen: () => boolean;
  /** Whether the request says who it is from, rightly or not. */
  readonly showsCredential: (request: IncomingMessage) => boolean;
  /** @throws Fault where the request is for somebody else, or from a foreign page */
  readonly look: (request: IncomingMessage) => void;
  /** Looks, and says who comes. @throws Fault */
  readonly enter: (request: IncomingMessage) => Principal | Promise<Principal>;
}

/** Lets in whom the doorkeeper knows, and everybody to what is public; waits only where he has to ask. */
function entrance({ isOpen, showsCredential, look, enter }: Doorkeeper, fail: Fail): onRequestHookHandler {
  return (request, reply, next) => {
    const { isPublic, takesAnybody, provesItself } = request.routeOptions.config;
    const isOpenToAll = (isPublic === true && isOpen()) || (takesAnybody === true && !showsCredential(request.raw));
    const pass = (principal: Principal | null) => {
      request.principal = principal;
      next();
    };
    try {
      const entered = isOpenToAll || provesItself === true ? look(request.raw) : enter(request.raw);
      if (entered instanceof Promise) entered.then(pass).catch((error: unknown) => fail(reply, error));
      else pass(entered ?? null);
    } catch (error) {
      fail(reply, error);
    }
  };
}

export async function listen(app: FastifyInstance, config: IngressConfig): Promise<number> {
  await app.listen({ host: config.HOST, port: config.PORT });
  return (app.server.address() as AddressInfo).port;
}

/** A certificate that some tenant may know, or anything where credentials stand. */
function showsAny({ headers, socket }: IncomingMessage, tenants: Tenants): boolean {
  if (headers.authorization !== undefined || tenants.keyHeaders.some((name) => headers[name] !== undefined))
    return true;
  return socket instanceof TLSSocket && socket.getPeerX509Certificate() !== undefined;
}

/** One place turns what went wrong into an answer, an event where there is none yet, and, where it is ours to know, a log line. */
function failureRenderer({ log, resource, door }: Pick<ServerParts, "log" | "resource" | "door">): Fail {
  return (reply, thrown) => {
    if (!reply.sent) reply.hijack();
    const failed = thrown instanceof RequestFault ? thrown : new RequestFault(routerFault(thrown));
    const fault = failed.isOnRecord ? failed.fault : door.refuse(reply, failed);
    reportedFault(log, failed);
    const challenge = resource.challenge(fault, soughtBy(reply.request));
    if (challenge !== undefined && !reply.raw.headersSent) reply.raw.setHeader("www-authenticate", challenge);
    const { rpcId } = failed;
    const { dialect, operation } = failed instanceof A2aFault ? failed : {};
    if (failed instanceof PlainFault) renderPlainFault(reply.raw, fault);
    else renderFault(reply.raw, fault, { rpcId, dialect, operation });
  };
}

/** What the router itself refuses, in our words. */
function routerFault(thrown: unknown): Fault {
  const { statusCode } = thrown as { statusCode?: number };
  if (thrown instanceof Fault || statusCode === undefined || statusCode >= 500) return toFault(thrown);
  if (statusCode === 415) return new Fault("unsupported_media_type", "send Content-Type: application/json");
  return new Fault("invalid_request", "the request cannot be read");
}

/**
 * Two Host fields let a proxy in front and this server disagree about whom the request is for (RFC 9112 §3.2), two
 * Authorization fields about whom it is from: node keeps the first.
 */
function requireSingle(rawHeaders: readonly string[]): void {
  let hosts = 0;
  let authorizations = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase();
    if (name === "host") hosts++;
    else if (name === "authorization") authorizations++;
  }
  if (hosts !== 1) throw new Fault("invalid_request", "send exactly one Host header");
  if (authorizations > 1) throw new Fault("invalid_request", "send at most one Authorization header");
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
