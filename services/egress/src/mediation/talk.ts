import { createHash, randomBytes } from "node:crypto";
import type { CallHead } from "@sluice/contracts";
import type { Sink } from "./peer.ts";
import { invalidParams, objectOf, RpcError, without, type Members, type Request } from "./rpc.ts";
import { requireCapability } from "./questions.ts";

interface Question {
  readonly request: Request;
  readonly answer: PromiseWithResolvers<Members>;
}

/** How a round ended: with the result, or with what the upstream wants to know first. */
type Round = { readonly result: Members } | { readonly inputRequests: Members };

/** Between a question and handing it on: others may come with it. */
const gatherMs = 5;

/**
 * One request of a modern agent to a legacy upstream, over several rounds: while the agent looks for answers, the
 * request to the upstream stays open (MCP 2026-07-28, Multi Round-Trip Requests).
 */
export class Talk implements Sink {
  readonly #end = new AbortController();
  readonly #capabilities: Members;
  readonly #questions = new Map<string, Question>();
  #result: Promise<Members> | undefined;
  #asked = Promise.withResolvers<void>();
  #notified: (notice: Request) => void = () => {};
  #next = 1;

  constructor(capabilities: Members) {
    this.#capabilities = capabilities;
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  notify(notice: Request): void {
    this.#notified(notice);
  }

  async ask(request: Request): Promise<Members> {
    requireCapability(request, this.#capabilities);
    const answer = Promise.withResolvers<Members>();
    this.#questions.set(`input-${this.#next++}`, { request, answer });
    setTimeout(() => this.#asked.resolve(), gatherMs);
    return await answer.promise;
  }

  begin(work: (sink: Sink) => Promise<Members>): void {
    this.#result = work(this);
    this.#result.catch(() => {});
  }

  /** Hands in the answers of the agent; what is still missing is asked again. */
  answer(inputResponses: unknown): void {
    for (const [key, response] of Object.entries(objectOf(inputResponses))) {
      this.#questions.get(key)?.answer.resolve(objectOf(response));
      this.#questions.delete(key);
    }
    this.#asked = Promise.withResolvers();
    if (this.#questions.size > 0) this.#asked.resolve();
  }

  /** @throws what the request failed with. */
  async round(notified: (notice: Request) => void): Promise<Round> {
    this.#notified = notified;
    const asked = this.#asked.promise.then(() => undefined);
    const result = await Promise.race([this.#result, asked]);
    this.#notified = () => {};
    if (result !== undefined) return { result };
    return { inputRequests: Object.fromEntries([...this.#questions].map(([key, { request }]) => [key, request])) };
  }

  abort(): void {
    this.#end.abort();
    for (const { answer } of this.#questions.values()) answer.promise.catch(() => {});
    for (const { answer } of this.#questions.values()) answer.reject(new RpcError(-32603, "the client left"));
  }
}

interface Parked {
  readonly talk: Talk;
  readonly owner: string;
  readonly timer: NodeJS.Timeout;
}

const parkedMs = 10 * 60_000;
const mostParked = 10_000;

/** Talks whose agents look for answers. The state that an agent gets is a random name of its talk, good once, for the same request of the same agent. */
export class ParkedTalks implements Disposable {
  readonly #prefix: string;
  readonly #parked = new Map<string, Parked>();

  constructor(instance: string) {
    this.#prefix = `slr.${instance}.`;
  }

  isState(state: unknown): state is string {
    return typeof state === "string" && /^slr\.[a-z0-9]+\./.test(state);
  }

  park(talk: Talk, head: CallHead, request: Request): string {
    const state = this.#prefix + randomBytes(24).toString("base64url");
    const timer = setTimeout(() => this.#forget(state)?.talk.abort(), parkedMs).unref();
    this.#parked.set(state, { talk, owner: ownerOf(head, request), timer });
    const [oldest] = this.#parked.keys();
    if (this.#parked.size > mostParked && oldest !== undefined) this.#forget(oldest)?.talk.abort();
    return state;
  }

  /** @throws RpcError where the state is unknown, expired, used before, another's or of another request. */
  resume(state: string, head: CallHead, request: Request): Talk {
    const parked = this.#parked.get(state);
    if (parked === undefined || parked.owner !== ownerOf(head, request))
      throw new RpcError(invalidParams, "requestState is unknown or has expired: send the request without it");
    this.#forget(state);
    return parked.talk;
  }

  [Symbol.dispose](): void {
    for (const { talk, timer } of this.#parked.values()) {
      clearTimeout(timer);
      talk.abort();
    }
    this.#parked.clear();
  }

  #forget(state: string): Parked | undefined {
    const parked = this.#parked.get(state);
    clearTimeout(parked?.timer);
    this.#parked.delete(state);
    return parked;
  }
}

function ownerOf({ tenant, agent, server }: CallHead, { method, params = {} }: Request): string {
  const asked = JSON.stringify(without(params, "_meta", "inputResponses", "requestState"));
  return [tenant, agent.id, server, method, createHash("sha256").update(asked).digest("base64url")].join("\0");
}
