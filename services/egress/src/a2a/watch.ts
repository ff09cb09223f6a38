import { setTimeout as sleep } from "node:timers/promises";
import type { Observed } from "@sluice/a2a";
import { Fault, toFault, type Dialect, type Renames, type TaskWatch } from "@sluice/contracts";
import type { ActiveCall, Ending } from "../active-call.ts";
import type { Exchange } from "@sluice/relay";
import { isStreamAnswer, relayedHeaders } from "../headers.ts";
import { interrupted, over } from "./task-states.ts";
import type { WatchAgent } from "./watch-agent.ts";
import { BadEvent, eventsOf, type AgentEvent } from "./watch-events.ts";
import type { Snapshot, WatchStream } from "./watch-stream.ts";
import type { WatchSubject } from "./watch-subject.ts";

/** Before the agent is asked again whose stream broke off; after the last it is given up. */
const pausesMs = [200, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/** Between two questions to an agent that cannot be subscribed to. */
const firstPollMs = 1_000;
const mostPollMs = 30_000;
/** How long the first word of a subscription is waited for, before the agent is asked what the task is. */
const firstEventMs = 1_000;
/** How long the head of a stream waits for its first event, which names the task. */
const headAfterMs = 3_000;

const streamHeaders = { "content-type": "text/event-stream" };

export interface WatchOptions {
  readonly call: ActiveCall;
  readonly agent: WatchAgent;
  readonly stream: WatchStream;
  readonly claim: TaskWatch;
  readonly subject: WatchSubject;
  /** Keeps what is said of the task, and whose it is where a name of it is new; gives back the names that came about with that. @throws Fault */
  readonly onNews: (said: Observed, isNamed: boolean) => Promise<Renames | undefined>;
}

/** The one subscription to a task: from its first event to its end, however often the agent's stream breaks off. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #ready = Promise.withResolvers<void>();
  #state: string | undefined;
  #isOver = false;
  #failures = 0;
  #headers: Readonly<Record<string, string>> = streamHeaders;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => {});
  }

  /** What its events are in. */
  get dialect(): Dialect {
    return this.#options.agent.dialect;
  }

  /** The JSON-RPC id that they have. */
  get rpcId(): string | undefined {
    return this.#options.agent.rpcId;
  }

  get claim(): TaskWatch {
    return this.#options.claim;
  }

  /** The upstream's id, once that is known. */
  get task(): string | undefined {
    return this.#options.subject.task;
  }

  /** Resolves when there is a first event. @throws Fault where there will be none */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** There will be no stream. */
  fail(fault: Fault): void {
    this.#ready.reject(fault);
  }

  /** Goes on with what the agent answers by an event stream. @throws Fault where nothing was sent yet */
  async run(exchange: Exchange): Promise<Ending> {
    this.#headers = relayedHeaders((await exchange.head).headers);
    return await this.#until(async () => {
      const head = setTimeout(() => this.#open(undefined), headAfterMs);
      await this.#read(exchange).finally(() => clearTimeout(head));
    });
  }

  /** Begins with the task as it is, and goes on however the agent lets it. */
  async takeOver(): Promise<Ending> {
    return await this.#until(async () => await this.#subscribe());
  }

  /** Asks the agent for the task now and then. */
  async poll(): Promise<Ending> {
    return await this.#until(async () => await this.#poll());
  }

  /** Whether the agent says that the task goes on. @throws Fault */
  async isUnderWay(): Promise<boolean> {
    const { state } = (await this.#ask()).observed;
    return state !== undefined && !over.has(state) && !interrupted.has(state);
  }

  /** The task as it is now, for who joins. @throws Fault */
  async snapshot(): Promise<Snapshot> {
    const { stream } = this.#options;
    const known = stream.snapshot();
    if (known !== undefined) return known;
    const { position } = stream;
    const event = await this.#ask();
    return { ...position, data: event.data };
  }

  async #until(begin: () => Promise<void>): Promise<Ending> {
    const { call, stream } = this.#options;
    let fault: Fault | undefined;
    try {
      await begin();
      while (!this.#isOver) await this.#goOn();
    } catch (error) {
      fault = call.ended ?? toFault(error);
      this.#ready.reject(fault);
      if (!stream.isOpen) {
        await stream.end({ answered: false });
        throw fault;
      }
    }
    const isMoved = fault?.kind === "unavailable" && call.ended !== undefined;
    await stream.end({ answered: fault === undefined, ...(isMoved && { isMoved }) }, isMoved ? undefined : fault);
    return {
      status: 200,
      events: stream.events,
      ...(this.#state !== undefined && { taskState: this.#state }),
      ...(this.task !== undefined && { task: this.task }),
      ...(fault !== undefined && !isMoved && { fault: fault.kind, isError: true }),
    };
  }

  /** The stream broke off before the task was over. */
  async #goOn(): Promise<void> {
    const { call } = this.#options;
    if (call.ended !== undefined) throw call.ended;
    if (this.task === undefined) throw new Fault("upstream_failed", "the agent's stream broke off");
    const pauseMs = pausesMs[this.#failures];
    if (pauseMs === undefined) throw new Fault("upstream_failed", "the agent's stream broke off again and again");
    this.#failures++;
    await this.#pause(pauseMs);
    await this.#subscribe().catch((error: unknown) => this.#forgive(error));
  }

  /** What may be different the next time; everything else ends the watch. */
  #forgive(error: unknown): void {
    const fault = this.#options.call.ended ?? toFault(error);
    const isOfConnection = fault.kind === "upstream_failed" || fault.kind === "upstream_unavailable";
    if (fault instanceof BadEvent || this.#options.call.ended !== undefined || !isOfConnection) throw fault;
  }

  /** Reads the agent's stream to its end, or to where it breaks off. */
  async #read(exchange: Exchange): Promise<number> {
    const { agent, call } = this.#options;
    let count = 0;
    try {
      for await (const event of eventsOf(this.#noted(exchange), agent)) {
        await this.#take(event);
        count++;
        if (this.#isOver) break;
      }
    } catch (error) {
      this.#forgive(error);
      return count;
    } finally {
      exchange.abort(new Fault("client_left", "the stream is over"));
      call.detach(exchange);
    }
    this.#endIfInterrupted();
    return count;
  }

  async *#noted(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.#options.call.lastActivity = Date.now();
      yield chunk;
    }
  }

  async #take(event: AgentEvent): Promise<void> {
    const { stream, subject } = this.#options;
    const { observed } = event;
    const isNamed = subject.take(observed);
    const isNews = observed.state !== undefined && observed.state !== this.#state;
    const renames = isNamed || isNews ? await this.#note(observed, isNamed) : undefined;
    this.#state = observed.state ?? this.#state;
    this.#open(renames);
    await stream.send(event);
    this.#failures = 0;
    this.#isOver = observed.isLast || observed.kind === "error" || (this.#state !== undefined && over.has(this.#state));
    this.#ready.resolve();
  }

  /** What is not this caller's stays so, however often the agent tells it. */
  async #note(observed: Observed, isNamed: boolean): Promise<Renames | undefined> {
    const { onNews, subject } = this.#options;
    return await onNews({ ...observed, ...subject.names }, isNamed).catch((cause: unknown) => {
      const { kind, message } = toFault(cause);
      throw kind === "upstream_failed" ? new BadEvent(kind, message, { cause }) : cause;
    });
  }

  #open(renames: Renames | undefined): void {
    this.#options.stream.open({ headers: this.#headers, task: this.task, renames });
  }

  /** Subscribes anew; what is told first is the task as it is. An agent that has no more to say of one that goes on may never have. */
  async #subscribe(): Promise<void> {
    const { agent } = this.#options;
    const exchange = agent.subscribe(this.#known);
    const { status, headers } = await exchange.head;
    if (!isStreamAnswer(status, headers)) {
      exchange.abort(new Fault("client_left", "this is no stream"));
      this.#options.call.detach(exchange);
      if (status >= 500 || status === 429) throw new Fault("upstream_failed", `the agent answered with ${status}`);
      return await this.#poll();
    }
    const events = await this.#joined(exchange);
    if (events === "refused") await this.#poll();
    else if (events !== "broken" && !this.#isOver && events <= 1) {
      this.#endIfInterrupted();
      await this.#poll();
    }
  }

  /** Reads a subscription whose first word is to be the task: the agent is asked for it where it is not. */
  async #joined(exchange: Exchange): Promise<number | "refused" | "broken"> {
    const { agent, call } = this.#options;
    const events = eventsOf(this.#noted(exchange), agent);
    let count = 0;
    try {
      let next = events.next();
      next.catch(() => {});
      const first = await Promise.race([next, sleep(firstEventMs, undefined, { ref: false })]);
      if (first?.done === false && first.value.observed.kind === "error") return "refused";
      if (first?.done !== false || first.value.observed.kind !== "task") await this.#take(await this.#ask());
      for (;;) {
        const { done, value } = await next;
        if (done === true || this.#isOver) break;
        await this.#take(value);
        count++;
        next = events.next();
      }
    } catch (error) {
      this.#forgive(error);
      return "broken";
    } finally {
      exchange.abort(new Fault("client_left", "the stream is over"));
      call.detach(exchange);
    }
    return count;
  }

  /** Whoever waits for its client says no more until it hears of him. */
  #endIfInterrupted(): void {
    if (this.#state !== undefined && interrupted.has(this.#state)) this.#isOver = true;
  }

  /** Asks for the task until it is over; what has changed is told. */
  async #poll(): Promise<void> {
    const { call } = this.#options;
    let last: Buffer | undefined;
    for (let pauseMs = firstPollMs; !this.#isOver; pauseMs = Math.min(pauseMs * 1.5, mostPollMs)) {
      const { lastActivity } = call;
      const event = await this.#ask();
      if (last?.equals(event.data) === true) call.lastActivity = lastActivity;
      else await this.#take(event);
      last = event.data;
      this.#endIfInterrupted();
      if (!this.#isOver) await this.#pause(pauseMs);
    }
  }

  async #ask(): Promise<AgentEvent> {
    const event = await this.#options.agent.task(this.#known);
    this.#options.subject.require(event.observed);
    return event;
  }

  get #known(): string {
    if (this.task === undefined) throw new Fault("upstream_failed", "the task is not known");
    return this.task;
  }

  /** @throws Fault where the watch ends meanwhile */
  async #pause(ms: number): Promise<void> {
    const { call } = this.#options;
    const ending = new AbortController();
    const part = { abort: () => ending.abort() };
    call.attach(part);
    await sleep(ms, undefined, { signal: ending.signal }).catch(() => {});
    call.detach(part);
    if (call.ended !== undefined) throw call.ended;
  }
}
