import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Fault } from "@sluice/contracts";
import type { HttpRequest } from "./batches.ts";
import type { Mcp } from "./mcp.ts";
import type { PathMethod } from "./path-call.ts";
import type { PathCalls } from "./path-calls.ts";
import { resourcePaths, type ProtectedResource } from "./protected-resource.ts";
import { requireReach, requireScopes } from "./reach.ts";
import type { SseSessions } from "./sse-sessions.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether nobody needs to say who he is. */
    isPublic?: boolean;
  }
}

/** Answers with what went wrong. */
export type Fail = (reply: FastifyReply, thrown: unknown) => void;

interface Door {
  readonly url: string;
  readonly methods: readonly Method[];
  readonly carry: (received: HttpRequest) => Promise<void>;
  /** Whether the path does not say which server it is about. */
  readonly isOfSession?: boolean;
}

/** The methods that have a path of their own, and how they are asked for. */
const methodDoors: readonly { readonly method: PathMethod; readonly methods: readonly Method[] }[] = [
  { method: "initialize", methods: ["POST"] },
  { method: "tools/list", methods: ["GET", "POST"] },
  { method: "tools/call", methods: ["POST"] },
  { method: "resources/list", methods: ["GET", "POST"] },
  { method: "resources/read", methods: ["POST"] },
];

export interface Doors {
  readonly mcp: Mcp;
  readonly sse: SseSessions;
  readonly paths: PathCalls;
}

/** The paths of MCP, and what each answers to methods that it does not have. */
export function addRoutes(app: FastifyInstance, { mcp, sse, paths }: Doors, fail: Fail): void {
  const doors: readonly Door[] = [
    ...["/mcp", "/mcp/:server"].map((url): Door => {
      return { url, methods: ["GET", "POST", "DELETE"], carry: (received) => mcp.handle(received) };
    }),
    ...["/mcp/sse", "/mcp/:server/sse"].map((url): Door => {
      return { url, methods: ["GET"], carry: (received) => sse.open(received) };
    }),
    { url: "/mcp/messages", methods: ["POST"], carry: (received) => sse.post(received), isOfSession: true },
    ...methodDoors.map(({ method, methods }): Door => {
      return { url: `/mcp/${method}`, methods, carry: (received) => paths.carry(received, method) };
    }),
    ...["/mcp/registration", "/mcp/:server/registration"].map((url): Door => {
      return { url, methods: ["GET"], carry: (received) => paths.register(received) };
    }),
  ];
  for (const { url, methods, carry, isOfSession = false } of doors) {
    app.route({
      method: [...methods],
      url,
      exposeHeadRoute: false,
      handler: (request: FastifyRequest<{ Params: { server?: string } }>, reply) => {
        reply.hijack();
        const { principal, raw, params } = request;
        if (principal === null) return void fail(reply, new Fault("unauthorized", "not authenticated"));
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
    refuseOthers(app, { url, methods }, fail);
  }
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
    refuseOthers(app, { url, methods: ["GET"] }, fail);
  }
}

function refuseOthers(app: FastifyInstance, { url, methods }: Pick<Door, "url" | "methods">, fail: Fail): void {
  app.route({
    method: everyMethod.filter((method) => !methods.includes(method)),
    url,
    handler: (_request, reply) => {
      reply.raw.setHeader("allow", methods.join(", "));
      fail(reply, new Fault("method_not_allowed", `use ${anyOf(methods)}`));
    },
  });
}

const anyOf = (methods: readonly string[]) => methods.join(", ").replace(/, (\w+)$/, " or $1");

type Method = (typeof everyMethod)[number];
const everyMethod = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] as const;
