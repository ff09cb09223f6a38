import type { Server as TlsServer } from "node:tls";
import swagger from "@fastify/swagger";
import { confName, Fault, faultBody, toFault } from "@sluice/contracts";
import { createGuard, type ServedCertificate } from "@sluice/runtime";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifySchema } from "fastify";
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { z } from "zod";
import type { ActionLog, Deed } from "./action-log.ts";
import { faultOf } from "./bad-request.ts";
import { adminRoutes } from "./index.ts";
import { covers, type Operator, type Operators } from "./operators.ts";
import type { AdminParts } from "./parts.ts";
import type { AdminRoute, RouteInput } from "./route.ts";

const largestBodyBytes = 1024 * 1024;
const handshakeTimeoutMs = 10_000;
const defaultStatus = 200;

export interface AdminOptions {
  readonly operators: Operators;
  readonly allowedHosts: readonly string[];
  readonly actions: ActionLog;
  readonly parts: Omit<AdminParts, "openApi">;
  /** Without it the API speaks plain HTTP. */
  readonly tls?: ServedCertificate | undefined;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Set once the request's token was found good. */
    operator: Operator | undefined;
  }
  interface FastifyContextConfig {
    adminRoute?: AdminRoute;
  }
}

/** The operators' API. Every path takes `Authorization: Bearer <token>`, known and unknown ones alike. */
export async function createAdmin(options: AdminOptions): Promise<FastifyInstance> {
  const guard = createGuard({ allowedHosts: options.allowedHosts, allowedOrigins: [] });
  const enter = (request: FastifyRequest) => {
    guard(request.headers);
    authorize(request, options.operators);
  };
  const { tls } = options;
  const server = fastify({
    bodyLimit: largestBodyBytes,
    forceCloseConnections: true,
    // A path that the router cannot read never reaches the hooks below.
    frameworkErrors: (_error, request, reply) => {
      Promise.resolve(request)
        .then(enter)
        .then(nothingThere)
        .catch((error: unknown) => refuse(options.actions, { error, request, reply }));
    },
    ...(tls !== undefined && { https: { ...tls.context, handshakeTimeout: handshakeTimeoutMs } }),
  }) as FastifyInstance;
  tls?.follow(server.server as unknown as TlsServer);
  server.setValidatorCompiler(validatorCompiler);
  server.setSerializerCompiler(serializerCompiler);
  server.decorateRequest("operator", undefined);
  server.addHook("onRequest", async (request) => enter(request));
  server.setErrorHandler((error, request, reply) => refuse(options.actions, { error, request, reply }));
  server.setNotFoundHandler(nothingThere);
  await server.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Sluice admin API", version: "1" },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
  });
  const parts: AdminParts = { ...options.parts, openApi: () => ({ ...server.swagger() }) };
  for (const route of adminRoutes) addRoute(server, route, { parts, actions: options.actions });
  return server;
}

function nothingThere(): never {
  throw new Fault("not_found", "there is no such resource");
}

/** Notes who asks. @throws Fault `unauthorized` or `role_denied` */
function authorize(request: FastifyRequest, operators: Operators): void {
  const operator = operators.find(/^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1] ?? "");
  if (operator === undefined)
    throw new Fault("unauthorized", "send an operator's token as Authorization: Bearer <token>");
  request.operator = operator;
  const role = request.routeOptions.config.adminRoute?.role;
  if (role !== undefined && !covers(operator.roles, role))
    throw new Fault(
      "role_denied",
      `this takes the role ${role}, and ${operator.name} has the role ${operator.roles.join(", ")}`,
    );
}

const faultSchema = z.looseObject({
  error: z.string(),
  message: z.string(),
  problems: z.array(z.string()).readonly().optional().describe("what is wrong with the request, each with its path"),
});

type Carrying = Pick<AdminOptions, "actions"> & { readonly parts: AdminParts };

function addRoute(server: FastifyInstance, route: AdminRoute, carrying: Carrying): void {
  const { status = defaultStatus } = route;
  const schema: FastifySchema & { summary: string; description: string } = {
    summary: route.summary,
    description: `Takes the role ${route.role}.${route.change === undefined ? "" : " It is audited."}`,
    ...(route.params !== undefined && { params: route.params }),
    ...(route.query !== undefined && { querystring: route.query }),
    ...(route.body !== undefined && { body: route.body }),
    response: { [status]: route.answer, "4xx": faultSchema, "5xx": faultSchema },
  };
  server.route({
    method: route.method,
    url: route.path,
    schema,
    config: { adminRoute: route },
    handler: async (request, reply) => {
      const answer = await carryOut(route, request, carrying);
      return reply.code(status).header("cache-control", "no-store").send(answer);
    },
  });
}

/** A change is on record before it is made; how it ended follows. */
async function carryOut(route: AdminRoute, request: FastifyRequest, { parts, actions }: Carrying): Promise<unknown> {
  const { params, query, body, operator } = request;
  if (operator === undefined) throw new Fault("unauthorized", "nobody is known to ask");
  const input: RouteInput<unknown, unknown, unknown> = { params, query, body, operator };
  if (route.change === undefined) {
    const answer = await route.handle(input, parts);
    actions.looked(deedOf(route, request));
    return answer;
  }
  const tenant = await route.change.tenant?.(input, parts);
  const deed = deedOf(route, request, route.change.subject?.(input));
  const begun = await actions.begin({ ...deed, ...(tenant !== undefined && { tenant }) });
  try {
    const answer = await route.handle(input, parts);
    begun.done(route.change.made?.(answer));
    return answer;
  } catch (error) {
    begun.failed(toFault(error).kind);
    throw new Answered(toFault(error));
  }
}

/** A failure that the audit trail has already. */
class Answered extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message, { cause: fault });
    this.fault = fault;
  }
}

interface Refusal {
  readonly error: unknown;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

function refuse(actions: ActionLog, { error, request, reply }: Refusal): FastifyReply {
  const fault = error instanceof Answered ? error.fault : faultOf(error);
  const route = request.routeOptions.config.adminRoute;
  const isDenied = fault.kind === "unauthorized" || fault.kind === "role_denied";
  if (!(error instanceof Answered) && (isDenied || route?.change !== undefined))
    actions.refused(deedOf(route, request), fault.kind);
  if (fault.kind === "unauthorized") void reply.header("www-authenticate", "Bearer");
  return reply.code(fault.row.status).send(faultBody(fault));
}

/** Only what a good token's request says goes on record by name, and a tenant only where one can be called so. */
function deedOf(route: AdminRoute | undefined, request: FastifyRequest, subject?: string): Deed {
  const { tenant: named } = (request.params ?? {}) as { tenant?: unknown };
  const tenant = confName.safeParse(named).data;
  const isKnown = request.operator !== undefined;
  return {
    action: isKnown && route !== undefined ? (route.change?.action ?? `${route.method} ${route.path}`) : "authenticate",
    ...(request.operator !== undefined && { operator: request.operator.name }),
    ...(isKnown && tenant !== undefined && { tenant }),
    ...(subject !== undefined && { subject }),
  };
}
