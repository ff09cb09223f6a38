import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { Carrier } from "./batches.ts";
import type { AgentBudget } from "./budget.ts";
import { Body } from "./body.ts";
import { MessageAnswer } from "./message-answer.ts";
import type { MessageStream } from "./message-stream.ts";
import type { Operation } from "./operation.ts";
import { faultMessage } from "./render.ts";
import { reportedFault } from "./request-fault.ts";
import { errorMessage, readMessage, sameId } from "./rpc-message.ts";
import type { Principal } from "./tenants.ts";

const maxUnderWay = 128;
const firstWaitMs = 1_000;
const longestWaitMs = 30_000;
const noBody = new Body(Buffer.alloc(0));

export interface SseSessionOptions {
  readonly carrier: Carrier;
  readonly stream: MessageStream;
  readonly budget: AgentBudget;
  readonly log: Log;
  readonly principal: Principal;
  /** The server named in the path. */
  readonly server: string | undefined;
}

/** A message that was posted to the session, and what of its HTTP request travels on. */
export interface PostedMessage {
  readonly body: Body;
  readonly operation: Operation;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * One client of the HTTP+SSE transport (MCP 2024-11-05, Transports): what it posts is carried out like a message of the
 * later transport, and what comes back goes onto its event stream.
 */
export class SseSession {
  readonly principal: Principal;
  readonly server: string | undefined;
  readonly #options: SseSessionOptions;
  readonly #over = new AbortController();
  /** The session's id in the later transport, once there is one. */
  #inner: string | undefined;
  #version: string | undefined;
  /** What is posted after `notifications/initialized` waits for it. */
  #initialized: Promise<void> = Promise.resolve();
  #listening = false;
  #underWay = 0;
  #idle: (() => void) | undefined;

  constructor(options: SseSessionOptions) {
    this.#options = options;
    this.principal = options.principal;
    this.server = options.server;
  }

  /** Begins to carry a message out. @throws Fault `overloaded` where too many are under way. */
  accept(posted: PostedMessage): void {
    if (this.#underWay >= maxUnderWay) throw new Fault("overloaded", "too many calls are under way in this session");
    const hold = this.#options.budget.open();
    hold.resize(posted.body.length);
    const message = { ...posted, body: new Body(posted.body.bytes, () => hold.release()) };
    posted.body.release();
    this.#underWay++;
    const done = this.#initialized.then(() => this.#carry(message));
    if (posted.operation.method === "notifications/initialized" && !this.#listening) {
      this.#listening = true;
      this.#initialized = done;
      void done.then(() => this.#listen());
    }
    void done.finally(() => {
      message.body.release();
      if (--this.#underWay === 0) this.#idle?.();
    });
  }

  /** Says that a message cannot be carried out. */
  refuse(fault: Fault, { path, headers, bytes }: Pick<PostedMessage, "path" | "headers"> & { bytes: number }): void {
    const { carrier, principal, server, stream } = this.#options;
    const request = { method: "POST", url: path, headers };
    stream.send(faultMessage(carrier.refuse({ request, principal, server, bytes }, fault)));
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  end(): void {
    this.#options.stream.end();
  }

  /** The client's stream is closed: nobody else can name the session that it has upstream. */
  async close(): Promise<void> {
    this.#over.abort();
    if (this.#inner === undefined) return;
    const { budget } = this.#options;
    const answer = new MessageAnswer({ budget, onMessage: () => {}, unsentBytes: () => 0 });
    await this.#send("DELETE", answer, {});
    this.#inner = undefined;
  }

  async #carry({ body, operation, headers, path }: PostedMessage): Promise<void> {
    const { stream } = this.#options;
    const { rpcId } = operation;
    const awaited = rpcId === undefined ? undefined : sameId(rpcId);
    let answered = false;
    const answer = stream.answer((bytes, from) => {
      const message = readMessage(bytes);
      if (message === undefined) return;
      if (awaited !== undefined && message.answers === awaited) {
        answered = true;
        if (operation.method === "initialize") this.#learn(from, message.protocolVersion);
        stream.send(bytes);
      } else if (from.statusCode < 300) stream.send(bytes);
      else if (message.error !== undefined && rpcId !== undefined && !this.#isGone(from)) {
        answered = true;
        stream.send(errorMessage(rpcId, message.error));
      }
    });
    const fault = await this.#send("POST", answer, { body, operation, headers, path });
    stream.release(answer);
    const missing = fault ?? answer.fault ?? new Fault("upstream_failed", noAnswer(answer));
    if (rpcId !== undefined && !answered) stream.send(faultMessage(missing, rpcId));
    if (fault?.kind === "session_not_found" || this.#isGone(answer)) stream.end();
  }

  #isGone({ statusCode }: MessageAnswer): boolean {
    return statusCode === 404 && this.#inner !== undefined;
  }

  #learn({ headers }: MessageAnswer, version: string | undefined): void {
    const session = headers["mcp-session-id"];
    if (session !== undefined) this.#inner = String(session);
    this.#version = version;
  }

  /** Relays the server's own messages, as long as the upstream offers a stream of them. */
  async #listen(): Promise<void> {
    const { stream } = this.#options;
    let last: string | undefined;
    for (let waitMs = firstWaitMs; !stream.over; waitMs = Math.min(2 * waitMs, longestWaitMs)) {
      const answer = stream.answer((bytes, { statusCode }) => {
        if (statusCode === 200) stream.send(bytes);
        waitMs = firstWaitMs;
      });
      const resuming = last === undefined ? {} : { "last-event-id": last };
      const fault = await this.#send("GET", answer, { headers: { accept: "text/event-stream", ...resuming } });
      stream.release(answer);
      last = fault?.kind === "not_found" ? undefined : (answer.lastEventId ?? last);
      if (fault?.kind === "session_not_found") return stream.end();
      if (fault === undefined && answer.statusCode !== 200) return;
      await sleep(waitMs, undefined, { signal: this.#over.signal }).catch(() => {});
    }
  }

  /** Carries out one request of the later transport; what it throws is given back. */
  async #send(
    method: "POST" | "GET" | "DELETE",
    answer: MessageAnswer,
    { body = noBody, operation, headers = {}, path }: Partial<PostedMessage>,
  ): Promise<Fault | undefined> {
    const { carrier, log, principal, server } = this.#options;
    const isInitialize = operation?.method === "initialize";
    const request = {
      method,
      url: path ?? "/mcp/sse",
      headers: {
        ...(this.#version !== undefined && !isInitialize && { "mcp-protocol-version": this.#version }),
        ...headers,
        ...(method === "POST" && {
          accept: "application/json, text/event-stream",
          "content-type": "application/json",
        }),
        ...(this.#inner !== undefined && !isInitialize && { "mcp-session-id": this.#inner }),
      },
    };
    try {
      const arrived = { request, response: answer, principal, server };
      await carrier.carry(operation === undefined ? arrived : { ...arrived, operation }, body);
      return undefined;
    } catch (error) {
      return reportedFault(log, error);
    }
  }
}

function noAnswer({ statusCode }: MessageAnswer): string {
  return `the upstream gave no JSON-RPC answer (HTTP ${statusCode})`;
}
