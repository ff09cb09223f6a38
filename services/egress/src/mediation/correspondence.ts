import { Fault, toFault } from "@sluice/contracts";
import type { Ids, Sink } from "./peer.ts";
import { reasonOf } from "./wire.ts";
import { metaOf, resultOf, RpcError, type Members, type Request, type RpcId, type RpcMessage } from "./rpc.ts";

interface Pending {
  readonly sink: Sink;
  /** What the client called its progress by. */
  readonly progressToken: unknown;
  readonly settle: (message: RpcMessage) => void;
  readonly fail: (error: unknown) => void;
}

const goodbyeMs = 5_000;

/** Requests under way on one legacy session, and what the upstream asks meanwhile (MCP 2025-11-25, Base Protocol). */
export class Correspondence {
  readonly #ids: Ids;
  readonly #post: (message: unknown, signal: AbortSignal) => Promise<void>;
  readonly #pending = new Map<RpcId, Pending>();

  constructor(ids: Ids, post: (message: unknown, signal: AbortSignal) => Promise<void>) {
    this.#ids = ids;
    this.#post = post;
  }

  isAnswered(id: unknown): boolean {
    return !this.#pending.has(id as RpcId);
  }

  /** `carry` sends the message and resolves when nothing more will come of it. */
  async request(request: Request, sink: Sink, carry: (message: RpcMessage) => Promise<void>): Promise<Members> {
    const id = this.#ids.next();
    const answer = Promise.withResolvers<RpcMessage>();
    const { progressToken, params } = ownToken(request.params, id);
    this.#pending.set(id, { sink, progressToken, settle: answer.resolve, fail: answer.reject });
    const onAbort = () => {
      answer.reject(reasonOf(sink.signal));
      this.#cancel(id);
    };
    sink.signal.addEventListener("abort", onAbort, { once: true });
    const message: RpcMessage = { jsonrpc: "2.0", id, method: request.method, ...(params !== undefined && { params }) };
    carry(message).then(
      () => answer.reject(new Fault("upstream_failed", "the upstream ended without an answer")),
      answer.reject,
    );
    try {
      return resultOf(await answer.promise);
    } finally {
      sink.signal.removeEventListener("abort", onAbort);
      this.#pending.delete(id);
    }
  }

  /** Takes one message of the upstream; what belongs to no request goes to the sink at hand. */
  take(message: RpcMessage, at: Sink): void {
    const { id, method } = message;
    if (method === undefined) {
      if (id === undefined || id === null) return;
      this.#pending.get(id)?.settle(message);
      this.#pending.delete(id);
    } else if (id === undefined || id === null) this.#notice(message as Request, at);
    else void this.#answer(message, id, at);
  }

  /** Nothing more will be heard of the upstream. */
  fail(fault: Fault): void {
    for (const { fail } of this.#pending.values()) fail(fault);
  }

  #notice({ method, params }: Request, at: Sink): void {
    if (method !== "notifications/progress") {
      at.notify({ method, ...(params !== undefined && { params }) });
      return;
    }
    const pending = this.#pending.get(params?.["progressToken"] as RpcId);
    if (pending?.progressToken !== undefined)
      pending.sink.notify({ method, params: { ...params, progressToken: pending.progressToken } });
  }

  async #answer({ method, params }: RpcMessage, id: RpcId, at: Sink): Promise<void> {
    try {
      const request = { method: String(method), ...(params !== undefined && { params }) };
      const result = method === "ping" ? {} : await at.ask(request);
      await this.#post({ jsonrpc: "2.0", id, result }, AbortSignal.timeout(goodbyeMs));
    } catch (error) {
      if (at.signal.aborted) return;
      const body = error instanceof RpcError ? error.body : { code: -32603, message: toFault(error).message };
      await this.#post({ jsonrpc: "2.0", id, error: body }, AbortSignal.timeout(goodbyeMs)).catch(() => {});
    }
  }

  #cancel(id: RpcId): void {
    const notice = {
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: id, reason: "the client cancelled" },
    };
    this.#post(notice, AbortSignal.timeout(goodbyeMs)).catch(() => {});
  }
}

/** Two clients of one session may choose the same progress token: upstream it is the request's id. */
function ownToken(params: Members | undefined, id: RpcId): { progressToken: unknown; params: Members | undefined } {
  const meta = metaOf(params);
  if (meta["progressToken"] === undefined) return { progressToken: undefined, params };
  return { progressToken: meta["progressToken"], params: { ...params, _meta: { ...meta, progressToken: id } } };
}
