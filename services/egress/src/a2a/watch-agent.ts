import { requestFor, taskEvent, type Sides } from "@sluice/a2a";
import { Fault, type Dialect } from "@sluice/contracts";
import { compile, raw, scan } from "@sluice/json";
import type { Exchange } from "../exchange.ts";
import { send, type AgentCall } from "./agent-call.ts";
import type { Agent } from "./agents.ts";
import { readAnswer, type AgentAnswer } from "./answers.ts";
import { eventWith, type AgentEvent } from "./watch-events.ts";

/** What the gateway asks by itself it asks in these words. */
const own: Dialect = { version: "1.0", binding: "JSONRPC" };
const wanted = compile([["id"]], []);

type Question = "SubscribeToTask" | "GetTask";

/** Asks the agent of a watch about its task, in the dialect that the stream is in. */
export class WatchAgent {
  /** The JSON-RPC id that the events of the stream have. */
  readonly rpcId: string | undefined;
  readonly #to: AgentCall;
  readonly #agent: () => Agent | undefined;

  /** @param agent the agent as it is configured by now */
  constructor(to: AgentCall, agent: () => Agent | undefined) {
    this.#to = to;
    this.#agent = agent;
    this.rpcId = to.at.dialect.binding === "JSONRPC" ? idOf(to.request.body) : undefined;
  }

  get dialect(): Dialect {
    return this.#to.at.dialect;
  }

  /** @throws Fault where there is no room, or nobody to be asked */
  subscribe(task: string): Exchange {
    return send(this.#ask("SubscribeToTask", task));
  }

  /** The task as the agent has it. @throws Fault */
  async task(task: string, maxBytes: number): Promise<{ answer: AgentAnswer; event: AgentEvent | undefined }> {
    const to = this.#ask("GetTask", task);
    const patience = to.call.patienceMs;
    try {
      const exchange = send(to);
      const answer = await readAnswer(to, exchange, maxBytes).finally(() => to.call.detach(exchange));
      const { observed } = answer;
      const isTask = answer.answer.status < 300 && observed.kind === "task";
      const event = isTask ? eventWith(taskEvent(this.dialect, answer.answer.body), this.dialect) : undefined;
      return { answer, event };
    } finally {
      to.call.patienceMs = patience;
    }
  }

  #ask(operation: Question, task: string): AgentCall {
    const agent = this.#agent();
    if (agent === undefined) throw new Fault("upstream_failed", `the ${this.#to.agent.title} is no longer there`);
    const { rpcId = "1" } = this;
    const sides: Sides = { client: own, upstream: this.dialect, operation, rpcId };
    const body = Buffer.from(
      `{"jsonrpc":"2.0","id":${rpcId},"method":"${operation}","params":{"id":${JSON.stringify(task)}}}`,
    );
    return { ...this.#to, agent, sides, request: requestFor(sides, { http: "POST", rest: "", body }) };
  }
}

/** The raw JSON of a request's id. */
function idOf(body: Buffer): string | undefined {
  const seen = scan(body, wanted);
  const [id] = seen.ok ? seen.values : [];
  return id === undefined ? undefined : raw(body, id).toString("utf8");
}
