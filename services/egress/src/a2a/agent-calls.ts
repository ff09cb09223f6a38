import { clientOf, requestFor, type Sides } from "@sluice/a2a";
import { Fault, type A2aCall, type A2aOperation } from "@sluice/contracts";
import type { ActiveCall, Ending } from "../active-call.ts";
import type { Replies } from "../replies.ts";
import { send, type AgentCall } from "./agent-call.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { AgentInterface } from "./agent-interface.ts";
import type { Agent, Agents } from "./agents.ts";
import { hintsAtChange, readAnswer } from "./answers.ts";
import { inWordsOf } from "./client-words.ts";
import type { HeldBytes, Hold } from "./held-bytes.ts";
import type { PushOperations } from "./push-operations.ts";
import { forTenant, requireTenant } from "./tenant-param.ts";
import type { TaskLists } from "./task-lists.ts";
import type { TaskRegistry } from "./task-registry.ts";
import type { Watches } from "./watches.ts";

export interface AgentCallsOptions {
  readonly agents: Agents;
  readonly directory: AgentDirectory;
  readonly replies: Replies;
  readonly registry: TaskRegistry;
  readonly lists: TaskLists;
  readonly watches: Watches;
  readonly pushes: PushOperations;
  readonly held: HeldBytes;
  /** Largest answer that is relayed. */
  readonly maxAnswerBytes: number;
}

interface Carried {
  readonly call: ActiveCall;
  /** The body, or its part that came with the call. */
  readonly inline: Buffer;
  readonly traceparent: string;
}

interface Destined extends Carried {
  readonly a2a: A2aCall;
  readonly agent: Agent;
  readonly at: AgentInterface;
  readonly hold: Hold;
}

type Way = (to: AgentCall) => Promise<Ending | undefined>;

/** Carries A2A calls to their agents and the answers back. */
export class AgentCalls {
  readonly #options: AgentCallsOptions;
  readonly #ways: Partial<Record<A2aOperation, Way>>;

  constructor(options: AgentCallsOptions) {
    this.#options = options;
    const watch: Way = (to) => options.watches.carry(to, this.#unary);
    this.#ways = {
      SendStreamingMessage: watch,
      SubscribeToTask: watch,
      ListTasks: (to) => options.lists.carry(to),
      ...options.pushes.ways,
    };
  }

  /** Resolves with nothing where the call's end is not seen here. @throws Fault where there is no answer */
  async carryOut({ call, inline, traceparent }: Carried, a2a: A2aCall): Promise<Ending | undefined> {
    const { agents, directory, held, registry } = this.#options;
    const { tenant, server } = call.head;
    const agent = agents.find(tenant, server);
    if (agent === undefined)
      throw new Fault("upstream_failed", `the agent '${server}' is not usable: see the log of egress`);
    if (a2a.operation === "SendMessage") call.patienceMs = agent.endpoint.idleTimeoutMs;
    using hold = held.open(`${tenant}/${server}`);
    const at = await directory.interfaceFor(agent, a2a.dialect, traceparent);
    const to = await this.#prepare({ call, inline, traceparent, a2a, agent, at, hold });
    try {
      if (a2a.operation === "SendMessage" && at.dialect.version === "0.1") await registry.claim(call.head);
      return await (this.#ways[a2a.operation] ?? this.#unary)(to);
    } catch (error) {
      if (error instanceof Fault && error.kind === "upstream_failed") directory.doubt(agent);
      throw error;
    } finally {
      this.#options.pushes.over(call.head);
    }
  }

  async #prepare({ inline, ...to }: Destined): Promise<AgentCall> {
    const { replies, maxAnswerBytes, pushes } = this.#options;
    const { call, a2a, at, hold } = to;
    const { http, rpcId } = call.head;
    requireTenant(at, a2a);
    const sides: Sides = {
      client: clientOf(a2a, at.dialect),
      upstream: at.dialect,
      operation: a2a.operation,
      ...(rpcId !== undefined && { rpcId }),
      ...(a2a.known?.renames !== undefined && { renames: a2a.known.renames }),
      named: a2a.named,
      hasTask: a2a.known?.task !== undefined,
      ...(a2a.known?.task?.context !== undefined && { context: a2a.known.task.context }),
    };
    hold.add(call.head.chunked?.bytes ?? inline.length);
    const came = { http, rest: a2a.rest ?? "", body: await replies.bodyOf(call, inline) };
    if (a2a.operation === "GetExtendedAgentCard") call.record.leaveOut();
    call.record.translate(inWordsOf(sides));
    const isSend = a2a.operation === "SendMessage" || a2a.operation === "SendStreamingMessage";
    const asked = isSend ? await pushes.withoutWebhook({ head: call.head, a2a, at }, came) : came;
    const isOwn = a2a.operation === "ListTasks" || pushes.ways[a2a.operation] !== undefined;
    const request = isOwn ? asked : forTenant(at, requestFor(sides, asked));
    return { ...to, sides, asked, request, maxAnswerBytes };
  }

  /** Relays the agent's answer as it came, once whatever it tells of is registered. */
  readonly #unary = async (to: AgentCall, exchange = send(to)): Promise<Ending> => {
    const { replies, registry, directory, pushes } = this.#options;
    const { call, agent, at } = to;
    const { headers, answer: received, observed } = await readAnswer(to, exchange);
    const isCard = to.sides.operation === "GetExtendedAgentCard";
    const answer = isCard ? await directory.vouched(to, received) : received;
    if (observed.kind === "error" && hintsAtChange(answer)) directory.doubt(agent);
    const renames = await registry.note(call.head, observed);
    await pushes.settle(call.head);
    const told = { dialect: at.dialect, ...(renames !== undefined && { renames }) };
    const ending = await replies.whole(call, { status: answer.status, headers, body: answer.body }, told);
    const { kind, task, state } = observed;
    return {
      ...ending,
      isError: kind === "error" || answer.status >= 400,
      ...(task !== undefined && { task }),
      ...(state !== undefined && { taskState: state }),
    };
  };
}
