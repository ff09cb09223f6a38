import { startSpan } from "@sluice/telemetry";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Fault, Protocol } from "@sluice/contracts";
import { A2aFault } from "./a2a/a2a-fault.ts";
import { refusedIntentOf } from "./attempt.ts";
import { thisMoment } from "./outcome.ts";
import type { Passage } from "./passage.ts";
import { peerOf, type UnknownCallers } from "./refusals.ts";
import { statusOf } from "./refusal.ts";
import { toldStatusOf } from "./render.ts";
import { header } from "./request-head.ts";
import type { RequestFault } from "./request-fault.ts";
import type { Streams } from "./streams.ts";
import type { Principal, Tenants } from "./tenants.ts";

interface DoorRecordParts {
  readonly passage: Passage;
  readonly callers: UnknownCallers;
  readonly tenants: Tenants;
  readonly streams: Streams;
}

/** Puts on record what is refused at the door: who is known leaves an attempt, and who is not is counted. */
export class DoorRecord {
  readonly #parts: DoorRecordParts;

  constructor(parts: DoorRecordParts) {
    this.#parts = parts;
  }

  /** Gives back what the client is to be told. */
  refuse({ request, elapsedTime }: FastifyReply, failed: RequestFault): Fault {
    const { tenant, raw } = request;
    // A request that the router could not read has none of what others have.
    const principal = request.principal ?? null;
    const { fault } = failed;
    const { dialect } = failed instanceof A2aFault ? failed : {};
    const status = dialect === undefined ? statusOf(fault) : toldStatusOf(fault, { dialect });
    if (principal !== null) return this.#refuseKnown(request, { principal, failed, status, elapsedTime });
    this.#parts.callers.refused({
      tenant,
      protocol: protocolOf(raw.url),
      status,
      fault: fault.kind,
      peer: peerOf(raw.socket),
    });
    return fault;
  }

  #refuseKnown(request: FastifyRequest, { principal, failed, status, elapsedTime }: Known): Fault {
    const { passage, streams } = this.#parts;
    const { raw } = request;
    const { protocol, server } = soughtBy(request);
    const { fault, rpcId } = failed;
    const { dialect, operation } = failed instanceof A2aFault ? failed : {};
    const now = thisMoment();
    const started = { at: Math.round(now.at - elapsedTime), tickMs: now.tickMs - elapsedTime };
    const span = startSpan("ingress refused", "server", header(raw, "traceparent"));
    const traceId = failed.traceId ?? span.traceId;
    span.end({ error: fault.kind });
    const served = this.#served({ principal, protocol, server });
    const intent = refusedIntentOf({
      ...{ request: raw, principal, protocol, name: streams.nextName(), started, traceId, rpcId, dialect, operation },
      server: served,
      path: shownPath(request, server === undefined || served !== undefined),
    });
    return passage.refuse({ intent, started, fault, status });
  }

  /** What the path names, or stands for where it names none; undefined where the tenant has none or several of them. */
  #served({ principal, protocol, server }: { principal: Principal; protocol: Protocol; server: string | undefined }) {
    const section = this.#parts.tenants.find(principal.tenant);
    if (section === undefined) return undefined;
    if (protocol === "a2a") {
      const { agentEndpoints } = section;
      return (server === undefined ? agentEndpoints[0] : agentEndpoints.find(({ name }) => name === server))?.name;
    }
    const { servers } = section;
    if (server === undefined) return servers.length === 1 ? servers[0]?.name : undefined;
    return servers.find(({ name }) => name === server)?.name;
  }
}

interface Known {
  readonly principal: Principal;
  readonly failed: RequestFault;
  readonly status: number;
  /** Milliseconds since the request's head was read. */
  readonly elapsedTime: number;
}

/** What a request is for, as far as its path says; what says nothing is taken for MCP. */
export function soughtBy({ raw, params }: Pick<FastifyRequest, "raw" | "params">): {
  protocol: Protocol;
  server: string | undefined;
} {
  // A path that the router cannot read has none.
  const { server, agent } = (params ?? {}) as { server?: string; agent?: string };
  return { protocol: protocolOf(raw.url) ?? "mcp", server: server ?? agent };
}

function protocolOf(url = ""): Protocol | undefined {
  const [, protocol] = /^\/(mcp|a2a)(?:[/?]|$)/.exec(url) ?? [];
  return protocol as Protocol | undefined;
}

/** In place of a path with a part that opens something, or that names nothing here and so may be a secret in the wrong place. */
function shownPath({ raw, routeOptions: { url: route } }: FastifyRequest, isServed: boolean): string | undefined {
  if (route === undefined) return `/${[protocolOf(raw.url), "*"].filter(Boolean).join("/")}`;
  return isServed && !route.startsWith("/a2a/push/") ? undefined : route;
}
