import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import { Fault, toFault } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import { isBatch, type Batches, type HttpRequest } from "./batches.ts";
import { payloadTooLarge, readBody, requireJson, type Body } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import { forwardedHeaders } from "./headers.ts";
import type { Mcp } from "./mcp.ts";
import { MessageStream } from "./message-stream.ts";
import { readOperation } from "./operation.ts";
import { requireReach } from "./reach.ts";
import { statusOf } from "./refusal.ts";
import { RequestFault } from "./request-fault.ts";
import { pathOf } from "./request-head.ts";
import { SsePosts, type PostedHead } from "./sse-posts.ts";
import { SseSession } from "./sse-session.ts";
import { findTarget } from "./target.ts";
import type { Principal, Tenants } from "./tenants.ts";
import { whoOf } from "./who.ts";

/** How long calls under way may take to end before the streams end that their answers go to. */
const settleMs = 10_000;

export interface SseSessionsOptions {
  readonly bus: Bus;
  readonly mcp: Mcp;
  readonly tenants: Tenants;
  readonly batches: Batches;
  readonly budget: BodyBudget;
  readonly log: Log;
  readonly keepAliveMs: number;
  /** Streams of this replica, and of one agent in it. */
  readonly maxStreams: number;
  readonly maxStreamsPerAgent: number;
}

const sessionForm = /^(i[0-9a-f]{12})\.[A-Za-z0-9_-]{43}$/;

/**
 * The HTTP+SSE transport (MCP 2024-11-05): a GET opens an event stream and names the URL for the client's messages. The
 * stream lives in the replica that opened it; a message that another replica gets is handed to it over the bus.
 */
export class SseSessions {
  readonly #options: SseSessionsOptions;
  readonly #sessions = new Map<string, SseSession>();
  /** Streams by agent. */
  readonly #counts = new Map<string, number>();
  readonly #closing = new Set<Promise<void>>();
  readonly #posts: SsePosts;
  #open = 0;
  #stopping = false;

  constructor(options: SseSessionsOptions) {
    this.#options = options;
    const { bus, budget } = options;
    this.#posts = new SsePosts({ bus, budget, accept: (head, body) => this.#accept(head, body) });
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Opens the event stream of a new session. @throws RequestFault, or Fault `overloaded` */
  async open(arrived: HttpRequest): Promise<void> {
    const { bus, mcp, budget, log, keepAliveMs } = this.#options;
    const { response, principal, server } = arrived;
    const leave = this.#enter(principal);
    let conclude: Awaited<ReturnType<Mcp["admit"]>>;
    try {
      conclude = await mcp.admit({ ...arrived, byPath: { http: "GET", method: "sse" } });
    } catch (error) {
      leave();
      throw error;
    }
    const id = `${bus.instance}.${randomBytes(32).toString("base64url")}`;
    const own = budget.of(principal);
    const stream = new MessageStream({ response, budget: own, keepAliveMs });
    const session = new SseSession({ carrier: mcp, stream, budget: own, log, principal, server });
    let off: () => void;
    try {
      off = mcp.whenWithdrawn(arrived, () => void response.destroy());
    } catch (error) {
      leave();
      const fault = toFault(error);
      conclude({ status: statusOf(fault), bytes: 0, fault });
      throw new RequestFault(fault, { isOnRecord: true });
    }
    const onClose = () => {
      off();
      this.#sessions.delete(id);
      leave();
      conclude({ status: 200, bytes: stream.bytes });
      const closing = session.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    };
    if (response.destroyed) return onClose();
    this.#sessions.set(id, session);
    response.once("close", onClose);
    stream.open();
    stream.send(`/mcp/messages?session=${id}`, "endpoint");
  }

  /**
   * Takes a message for a session, on whichever replica its stream is.
   * @throws Fault `session_not_found`, the same for one that is unknown, over or somebody else's.
   */
  async post({ request, response, principal }: HttpRequest): Promise<void> {
    const { bus, tenants, budget } = this.#options;
    const section = tenants.require(principal.tenant);
    requireJson(request);
    using body = await readBody(request, { limit: section.maxPayloadBytes, budget: budget.of(principal) });
    const session = new URL(request.url ?? "", "http://localhost").searchParams.get("session") ?? "";
    const owner = sessionForm.exec(session)?.[1];
    if (owner === undefined) throw unknownSession();
    const { traceparent } = request.headers;
    const { tenant, agent, servers } = principal;
    const head: PostedHead = {
      session,
      principal: { tenant, agent, ...(servers !== undefined && { servers }) },
      identity: whoOf(principal).identity,
      path: pathOf(request),
      headers: {
        ...forwardedHeaders(request.headers, {
          named: section.servers.flatMap(({ forwardHeaders }) => forwardHeaders),
          credentials: section.keyHeaders,
        }),
        ...(typeof traceparent === "string" && { traceparent }),
      },
    };
    if (owner === bus.instance) await this.#accept(head, body);
    else await this.#posts.hand(owner, head, body);
    response.writeHead(202, { "content-length": 0 }).end();
  }

  /** Ends the streams once nothing is under way in them; their clients open new ones elsewhere. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const over = new AbortController();
    const deadline = sleep(settleMs, undefined, { signal: over.signal }).catch(() => {});
    await Promise.all(
      [...this.#sessions.values()].map(async (session) => {
        await Promise.race([session.settled(), deadline]);
        session.end();
      }),
    );
    over.abort();
    await Promise.all(this.#closing);
  }

  async #accept({ session: id, principal, identity, path, headers }: PostedHead, body: Body): Promise<void> {
    const session = this.#sessions.get(id);
    if (session === undefined || !isOf(session.principal, principal.tenant, identity)) throw unknownSession();
    requireReach(principal, "mcp", session.server);
    this.#requireSize(session, body);
    if (isBatch(body.bytes)) {
      for (const message of await this.#options.batches.read(body, headers)) {
        if (message.fault === undefined) session.accept({ ...message, path, headers });
        else session.refuse(message.fault, { path, headers, bytes: message.bytes });
      }
      return;
    }
    const operation = await readOperation(body.bytes, headers);
    if (operation.era === "modern")
      throw new Fault("invalid_request", "this transport is of MCP 2024-11-05: send this to /mcp");
    session.accept({ body, operation, path, headers });
  }

  /** A message goes to the session's server, which may take less than its tenant. @throws Fault `payload_too_large` */
  #requireSize({ principal, server }: SseSession, { length }: Body): void {
    const { maxPayloadBytes } = findTarget(this.#options.tenants.require(principal.tenant), server);
    if (length > maxPayloadBytes) throw payloadTooLarge(maxPayloadBytes);
  }

  /** Counts a stream; gives back what takes it off again. @throws Fault `overloaded` */
  #enter({ tenant, agent }: Principal): () => void {
    const { maxStreams, maxStreamsPerAgent } = this.#options;
    const key = `${tenant}\0${agent.id}`;
    const count = this.#counts.get(key) ?? 0;
    if (this.#stopping) throw new Fault("unavailable", "this replica is stopping");
    if (this.#open >= maxStreams) throw new Fault("overloaded", "too many event streams are open");
    if (count >= maxStreamsPerAgent)
      throw new Fault("overloaded", `too many event streams are open for the agent '${agent.id}'`);
    this.#counts.set(key, count + 1);
    this.#open++;
    return () => {
      this.#open--;
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}

function isOf(owner: Principal, tenant: string, identity: string): boolean {
  return owner.tenant === tenant && whoOf(owner).identity === identity;
}

function unknownSession(): Fault {
  return new Fault("session_not_found", "the session is unknown or has ended: open a new event stream");
}
