import { createHash, randomBytes } from "node:crypto";
import { Fault, type CallHead } from "@sluice/contracts";
import type { Sink } from "./peer.ts";
import { invalidParams, objectOf, RpcError, without, type Members, type Request } from "./rpc.ts";
import { requireCapability, requireRoom } from "./questions.ts";
import type { Route } from "./route.ts";

interface Question {
  readonly request: Request;
  readonly answer: PromiseWithResolvers<Members>;
}

/** How a round ended: with the result, or with what the upstream wants to know first. */
type Round = { readonly result: Members } | { readonly inputRequests: Members };

/** Who hears what the upstream says during a round. */
interface Heard {
  notify(notice: Request): void;
  room(): Promise<void>;
}

const nobody: Heard = { notify: () => {}, room: () => Promise.resolve() };

/** Between a question and handing it on: others may come with it. */
const togetherMs = 5;

/**
 * One request of a modern agent to a legacy upstream, over several rounds: while the agent looks for answers, the
 * request to the upstream stays open (MCP 2026-07-28, Multi Round-Trip Requests).
 */
export class Talk implements Sink {
  readonly #end = new AbortController();
  readonly #capabilities: Members;
  /** Of the round that began it. */
  readonly #route: Pick<Route, "actedOn">;
  readonly #questions = new Map<string, Question>();
  #result: Promise<Members> | undefined;
  #asked = Promise.withResolvers<void>();
  #heard: Heard = nobody;
  #roundOver = Promise.withResolvers<void>();
  #next = 1;

  constructor(capabilities: Members, route: Pick<Route, "actedOn">) {
    this.#capabilities = capabilities;
    this.#route = route;
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  notify(notice: Request): void {
    this.#heard.notify(notice);
  }

  /** Whoever heard a round that is over makes nobody wait. */
  async room(): Promise<void> {
    await Promise.race([this.#heard.room(), this.#roundOver.promise]);
  }

  async ask(request: Request): Promise<Members> {
    requireCapability(request, this.#capabilities);
    if (this.#end.signal.aborted) throw clientLeft();
    requireRoom(this.#questions.size);
    const answer = Promise.withResolvers<Members>();
    this.#questions.set(`input-${this.#next++}`, { request, answer });
    const asked = this.#asked;
    setTimeout(() => asked.resolve(), togetherMs);
    return await answer.promise;
  }

  begin(work: (sink: Sink) => Promise<Members>): void {
    this.#result = work(this);
    this.#result.catch(() => {});
  }

  /** Hands in the answers of the agent; what is still missing is asked again. The new round acts on what the first did. */
  answer(inputResponses: unknown, route: Pick<Route, "actOn">): void {
    route.actOn(this.#route.actedOn);
    for (const [key, response] of Object.entries(objectOf(inputResponses))) {
      this.#questions.get(key)?.answer.resolve(objectOf(response));
      this.#questions.delete(key);
    }
    this.#asked = Promise.withResolvers();
    if (this.#questions.size > 0) this.#asked.resolve();
  }

  /** @throws what the request failed with. */
  async round(heard: Heard): Promise<Round> {
    this.#heard = heard;
    this.#roundOver = Promise.withResolvers();
    const asked = this.#asked.promise.then(() => undefined);
    const result = await Promise.race([this.#result, asked]).finally(() => {
      this.#heard = nobody;
      this.#roundOver.resolve();
    });
    if (result !== undefined) return { result };
    return { inputRequests: Object.fromEntries([...this.#questions].map(([key, { request }]) => [key, request])) };
  }

  abort(): void {
    this.#end.abort();
    for (const { answer } of this.#questions.values()) answer.promise.catch(() => {});
    for (const { answer } of this.#questions.values()) answer.reject(clientLeft());
  }
}

function clientLeft(): RpcError {
  return new RpcError(-32603, "the client left");
}

interface Parked {
  readonly talk: Talk;
  readonly agent: string;
  readonly owner: string;
  readonly timer: NodeJS.Timeout;
}

const parkedMs = 10 * 60_000;
/** Of all agents together. */
const mostParked = 10_000;

export interface ParkedTalksOptions {
  readonly instance: string;
  /** Each holds a connection to its upstream: an agent that parks more gives up its own oldest. */
  readonly mostPerAgent: number;
}

/** Talks whose agents look for answers. The state that an agent gets is a random name of its talk, good once, for the same request of the same caller. */
export class ParkedTalks implements Disposable {
  readonly #prefix: string;
  readonly #mostPerAgent: number;
  readonly #parked = new Map<string, Parked>();
  /** The states of each agent, the oldest first. */
  readonly #byAgent = new Map<string, Set<string>>();
  #onEmpty: (() => void) | undefined;

  constructor({ instance, mostPerAgent }: ParkedTalksOptions) {
    this.#prefix = `slr.${instance}.`;
    this.#mostPerAgent = mostPerAgent;
  }

  get size(): number {
    return this.#parked.size;
  }

  isState(state: unknown): state is string {
    return typeof state === "string" && /^slr\.[a-z0-9]+\./.test(state);
  }

  /** @throws Fault where there is no room, though this agent has none parked; the talk is over then. */
  park(talk: Talk, head: CallHead, request: Request): string {
    const agent = `${head.tenant}\0${head.agent.id}`;
    const [oldest] = this.#byAgent.get(agent) ?? [];
    const isFull = this.#parked.size >= mostParked;
    if (isFull && oldest === undefined) {
      talk.abort();
      throw new Fault("overloaded", "too many calls wait for answers of their agents");
    }
    if (oldest !== undefined && (isFull || (this.#byAgent.get(agent)?.size ?? 0) >= this.#mostPerAgent))
      this.#forget(oldest)?.talk.abort();
    const state = this.#prefix + randomBytes(24).toString("base64url");
    const timer = setTimeout(() => this.#forget(state)?.talk.abort(), parkedMs).unref();
    this.#parked.set(state, { talk, agent, owner: ownerOf(head, request), timer });
    const states = this.#byAgent.get(agent) ?? new Set();
    this.#byAgent.set(agent, states.add(state));
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

  /** Resolves when no talk is parked any more, or at the deadline. */
  async settled(deadlineMs: number): Promise<void> {
    if (this.#parked.size === 0 || deadlineMs <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    const timer = setTimeout(resolve, deadlineMs);
    await promise.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    for (const state of this.#parked.keys()) this.#forget(state)?.talk.abort();
  }

  #forget(state: string): Parked | undefined {
    const parked = this.#parked.get(state);
    if (parked === undefined) return undefined;
    clearTimeout(parked.timer);
    this.#parked.delete(state);
    const states = this.#byAgent.get(parked.agent);
    states?.delete(state);
    if (states?.size === 0) this.#byAgent.delete(parked.agent);
    if (this.#parked.size === 0) this.#onEmpty?.();
    return parked;
  }
}

function ownerOf({ tenant, identity, server }: CallHead, { method, params = {} }: Request): string {
  const asked = JSON.stringify(without(params, "_meta", "inputResponses", "requestState"));
  return [tenant, identity, server, method, createHash("sha256").update(asked).digest("base64url")].join("\0");
}
