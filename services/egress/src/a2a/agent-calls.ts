import { requestFor, type Sides, type WireRequest } from "@sluice/a2a";
import { Fault, type A2aCall, type A2aOperation } from "@sluice/contracts";
import type { ActiveCall, Ending } from "../active-call.ts";
import type { Replies } from "../replies.ts";
import { send, type AgentCall } from "./agent-call.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { Agents } from "./agents.ts";
import { readAnswer } from "./answers.ts";
import type { PushOperations } from "./push-operations.ts";
import type { TaskRegistry } from "./task-registry.ts";
import type { Watches } from "./watch.ts";

export interface AgentCallsOptions {
  readonly agents: Agents;
  readonly directory: AgentDirectory;
  readonly replies: Replies;
  readonly registry: TaskRegistry;
  readonly watches: Watches;
  readonly pushes: PushOperations;
  /** Largest answer that is relayed. */
  readonly maxAnswerBytes: number;
}

interface Carried {
  readonly call: ActiveCall;
  /** The body, or its part that came with the call. */
  readonly inline: Buffer;
  readonly traceparent: string;
}

type Way = (to: AgentCall, asked: WireRequest) => Promise<Ending>;

/** Carries A2A calls to their agents and the answers back. */
export class AgentCalls {
  readonly #options: AgentCallsOptions;
  readonly #ways: Partial<Record<A2aOperation, Way>>;

  constructor(options: AgentCallsOptions) {
    this.#options = options;
    const watch: Way = (to) => options.watches.carry(to);
    this.#ways = { SendStreamingMessage: watch, SubscribeToTask: watch };
  }

  /** @throws Fault where there is no answer */
  async carryOut({ call, inline, traceparent }: Carried, a2a: A2aCall): Promise<Ending> {
    const { agents, directory, replies } = this.#options;
    const { head } = call;
    const agent = agents.find(head.tenant, head.server);
    if (agent === undefined)
      throw new Fault("upstream_failed", `the agent '${head.server}' is not usable: see the log of egress`);
    if (a2a.operation === "SendMessage") call.patienceMs = agent.endpoint.idleTimeoutMs;
    const at = await directory.interfaceFor(agent, a2a.dialect, traceparent);
    const sides: Sides = {
      client: a2a.dialect,
      upstream: at.dialect,
      operation: a2a.operation,
      ...(head.rpcId !== undefined && { rpcId: head.rpcId }),
      ...(a2a.known?.renames !== undefined && { renames: a2a.known.renames }),
      ...(a2a.named.mayBeNew === true && a2a.known?.task === undefined && { isNewTask: true }),
    };
    const body = await replies.bodyOf(call, inline);
    const request = requestFor(sides, { http: head.http, rest: a2a.rest ?? "", body });
    const to = { call, a2a, agent, at, sides, request, traceparent };
    return await (this.#ways[a2a.operation] ?? ((one: AgentCall) => this.#unary(one)))(to);
  }

  /** Relays the agent's answer as it came, once whatever it tells of is registered. */
  async #unary(to: AgentCall): Promise<Ending> {
    const { replies, registry, maxAnswerBytes } = this.#options;
    const { call, at } = to;
    const { headers, answer, observed } = await readAnswer(to, send(to), maxAnswerBytes);
    const renames = await registry.note(call.head, observed);
    const ending = await replies.whole(
      call,
      { status: answer.status, headers, body: answer.body },
      { dialect: at.dialect, ...(renames !== undefined && { renames }) },
    );
    const { kind, task, state } = observed;
    return {
      ...ending,
      isError: kind === "error" || answer.status >= 400,
      ...(task !== undefined && { task }),
      ...(state !== undefined && { taskState: state }),
    };
  }
}
