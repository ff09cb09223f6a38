import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Fault, type HttpMethod, type MethodSection, type Protocol } from "@sluice/contracts";
import { requireReach, requireScopes } from "./reach.ts";
import type { Principal, Tenants } from "./tenants.ts";

/** Answers with what went wrong. */
export type Fail = (reply: FastifyReply, thrown: unknown) => void;

/** A request that was let in. */
export interface Entered {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly principal: Principal;
  /** What the path names: a server or an agent. */
  readonly server: string | undefined;
}

/** One path that agents call. */
export interface Door {
  readonly url: string;
  readonly methods: readonly HttpMethod[];
  readonly protocol: Protocol;
  readonly carry: (entered: Entered) => Promise<void>;
  /** The server or agent that a credential has to be for, where the path itself says none; `undefined` stands for all. */
  readonly about?: (principal: Principal) => string | undefined;
  /** Whether the path does not say at all which server it is about. */
  readonly isOfSession?: boolean;
  /** How a refusal at this door is told. */
  readonly told?: (request: IncomingMessage, thrown: unknown) => unknown;
}

type DoorRequest = FastifyRequest<{ Params: { server?: string; agent?: string } }>;

/** Opens a path by the methods that it has and the tenant left it (P20), and answers others. */
export function addDoor(app: FastifyInstance, door: Door, { tenants, fail }: { tenants: Tenants; fail: Fail }): void {
  const { url, methods, protocol, carry, isOfSession = false, told = (_request, thrown) => thrown } = door;
  const left = ({ principal, params }: DoorRequest): readonly HttpMethod[] => {
    const narrowed = principal === null ? undefined : tenants.methodsOf(principal);
    return narrowed === undefined ? methods : methodsLeft(methods, narrowed, pathOf(url, nameIn(params)));
  };
  const refuse = (request: DoorRequest, reply: FastifyReply) => {
    const fault = methodRefusal(reply, left(request));
    fail(reply, told(request.raw, fault));
  };
  app.route({
    method: [...methods],
    url,
    exposeHeadRoute: false,
    handler: (request: DoorRequest, reply) => {
      reply.hijack();
      const { principal, raw, params } = request;
      if (principal === null) return void fail(reply, new Fault("unauthorized", "not authenticated"));
      if (!has(left(request), raw.method)) return void refuse(request, reply);
      const server = nameIn(params);
      try {
        requireScopes(principal, protocol);
        if (!isOfSession) requireReach(principal, protocol, server ?? door.about?.(principal));
      } catch (error) {
        return void fail(reply, told(raw, error));
      }
      carry({ request: raw, response: reply.raw, principal, server }).catch((error: unknown) => fail(reply, error));
    },
  });
  app.route({ ...others(url, methods), handler: refuse });
}

/** A path, asked for by any method but these. */
export const others = (url: string, methods: readonly HttpMethod[]) => ({
  url,
  method: everyMethod.filter((method) => !has(methods, method)),
});

/** Says which methods there are. */
export function methodRefusal(reply: FastifyReply, allowed: readonly HttpMethod[]): Fault {
  reply.raw.setHeader("allow", allowed.join(", "));
  return new Fault("method_not_allowed", allowed.length === 0 ? "this path is closed" : `use ${anyOf(allowed)}`);
}

/** What a tenant has left of a path's methods (seed 001 §1). */
function methodsLeft(
  methods: readonly HttpMethod[],
  { everywhere, at }: MethodSection,
  path: string,
): readonly HttpMethod[] {
  return methods.filter((method) => everywhere.includes(method) && at[path]?.includes(method) !== false);
}

const nameIn = ({ server, agent }: DoorRequest["params"]) => server ?? agent;

/** As the tenant's configuration names it: what is behind an agent's address counts as the address. */
const pathOf = (url: string, name: string | undefined) =>
  (name === undefined ? url : url.replace(/:server|:agent/, name)).replace(/\/\*$/, "");

const has = (methods: readonly string[], method: string | undefined) =>
  method !== undefined && methods.includes(method);

const anyOf = (methods: readonly string[]) => methods.join(", ").replace(/, (\w+)$/, " or $1");

const everyMethod = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] as const;
