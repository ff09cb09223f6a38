import { requestFor, taskEvent, type Sides } from "@sluice/a2a";
import { Fault, type Dialect } from "@sluice/contracts";
import { compile, raw, scan } from "@sluice/json";
import type { Exchange } from "@sluice/relay";
import { send, type AgentCall } from "./agent-call.ts";
import type { Agent } from "./agents.ts";
import { readAnswer } from "./answers.ts";
import type { HeldBytes } from "./held-bytes.ts";
import { forTenant } from "./tenant-param.ts";
import { BadEvent, eventWith, type AgentEvent } from "./watch-events.ts";

/** What the gateway asks by itself it asks in these words. */
const own: Dialect = { version: "1.0", binding: "JSONRPC" };
const wanted = compile([["id"]], []);

/** Of a task that is told as a whole. */
const mostSnapshotBytes = 16 * 1024 * 1024;

type Question = "SubscribeToTask" | "GetTask";

/** What may be another by the time of a question. */
export interface Now {
  readonly held: HeldBytes;
  /** The agent as it is configured. */
  readonly agent: () => Agent | undefined;
}

/** Asks the agent of a watch about its task, in the dialect that the stream is in. */
export class WatchAgent {
  /** The JSON-RPC id that the events of the stream have. */
  readonly rpcId: string | undefined;
  readonly #to: AgentCall;
  readonly #now: Now;

  constructor(to: AgentCall, now: Now) {
    const { http, rest } = to.request;
    const spent = { http, rest, body: Buffer.alloc(0) };
    this.#to = { ...to, asked: spent, request: spent, maxAnswerBytes: mostSnapshotBytes };
    this.#now = now;
    this.rpcId = to.at.dialect.binding === "JSONRPC" ? idOf(to.request.body) : undefined;
  }

  get dialect(): Dialect {
    return this.#to.at.dialect;
  }

  /** @throws Fault where there is no room, or nobody to be asked */
  subscribe(task: string): Exchange {
    return send(this.#ask("SubscribeToTask", task));
  }

  /** The task as the agent has it, as an event. @throws Fault, BadEvent where the agent has none to tell */
  async task(task: string): Promise<AgentEvent> {
    using hold = this.#now.held.open(this.#to.agent.title);
    const to = { ...this.#ask("GetTask", task), hold };
    const patience = to.call.patienceMs;
    try {
      const exchange = send(to);
      const answer = await readAnswer(to, exchange).finally(() => to.call.detach(exchange));
      const { status } = answer.answer;
      if (status >= 500 || status === 429) throw new Fault("upstream_failed", `the agent answered with ${status}`);
      if (status >= 300 || answer.observed.kind !== "task")
        throw new BadEvent("upstream_failed", "the agent does not tell the task any more");
      return eventWith(taskEvent(this.dialect, answer.answer.body), this.dialect);
    } finally {
      to.call.patienceMs = patience;
    }
  }

  #ask(operation: Question, task: string): AgentCall {
    const agent = this.#now.agent();
    if (agent === undefined) throw new Fault("upstream_failed", `the ${this.#to.agent.title} is no longer there`);
    const { rpcId = "1" } = this;
    const sides: Sides = { client: own, upstream: this.dialect, operation, rpcId, named: { task }, hasTask: true };
    const body = Buffer.from(
      `{"jsonrpc":"2.0","id":${rpcId},"method":"${operation}","params":{"id":${JSON.stringify(task)}}}`,
    );
    const request = forTenant(this.#to.at, requestFor(sides, { http: "POST", rest: "", body }));
    return { ...this.#to, agent, sides, request };
  }
}

/** The raw JSON of a request's id. */
function idOf(body: Buffer): string | undefined {
  const seen = scan(body, wanted);
  const [id] = seen.ok ? seen.values : [];
  return id === undefined ? undefined : raw(body, id).toString("utf8");
}
