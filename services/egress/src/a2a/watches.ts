import type { AuditLog, Bus } from "@sluice/bus";
import { Fault, toFault, type TaskWatch } from "@sluice/contracts";
import type { ActiveCall, Ending } from "../active-call.ts";
import type { Exchange } from "@sluice/relay";
import type { Replies } from "../replies.ts";
import { send, type AgentCall } from "./agent-call.ts";
import type { Agents } from "./agents.ts";
import { isStreamAnswer } from "../headers.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { TaskRegistry } from "./task-registry.ts";
import { WatchAgent } from "./watch-agent.ts";
import { WatchClaims, type Claim } from "./watch-claims.ts";
import { WatchStream } from "./watch-stream.ts";
import { WatchSubject } from "./watch-subject.ts";
import { ViewBudget } from "./watch-views.ts";
import { Watch } from "./watch.ts";

/** What the tasks that are watched here may take in memory. */
const viewBytes = { mostBytes: 128 * 1024 * 1024, mostBytesEach: 4 * 1024 * 1024 };

export interface WatchesOptions {
  readonly bus: Bus;
  readonly agents: Agents;
  readonly replies: Replies;
  readonly registry: TaskRegistry;
  readonly audit: AuditLog;
  readonly held: HeldBytes;
}

/** Relays an answer that is no stream. */
export type Unary = (to: AgentCall, exchange: Exchange) => Promise<Ending>;

/** The subscriptions to tasks that this replica has. */
export class Watches {
  readonly #options: WatchesOptions;
  readonly #claims: WatchClaims;
  readonly #views = new ViewBudget(viewBytes);
  /** By tenant, agent and task. */
  readonly #watches = new Map<string, Watch>();

  constructor(options: WatchesOptions) {
    this.#options = options;
    this.#claims = new WatchClaims(options.bus);
  }

  /**
   * Carries out an operation whose answer is a stream of events. Resolves at the end of the watch that it opens; with
   * nothing where there was one: then whoever reads knows how it ends. @throws Fault where there is no answer
   */
  async carry(to: AgentCall, unary: Unary): Promise<Ending | undefined> {
    to.call.patienceMs = to.agent.endpoint.idleTimeoutMs;
    return to.a2a.operation === "SubscribeToTask" ? await this.#subscribe(to, unary) : await this.#begin(to, unary);
  }

  /** What is sent begins its own stream; its first event tells which task that is. */
  async #begin(to: AgentCall, unary: Unary): Promise<Ending> {
    const exchange = send(to);
    const { status, headers } = await exchange.head;
    if (!isStreamAnswer(status, headers)) return await unary(to, exchange);
    const watch = this.#watch(to, undefined);
    return await this.#until(to, watch, () => watch.run(exchange));
  }

  async #subscribe(to: AgentCall, unary: Unary): Promise<Ending | undefined> {
    const { call, a2a } = to;
    const task = a2a.known?.task;
    if (task === undefined) throw new Fault("internal", "a subscription names a task that is known");
    const { watch: told } = task;
    const here = this.#watches.get(keyOf(to.call, task.id));
    if (here !== undefined && (await this.#follows(to, here))) return undefined;
    if (told !== undefined && a2a.again === undefined && told.egress !== this.#options.bus.instance)
      return await this.#refer(call, told);
    return await this.#claim(to, task.id, unary);
  }

  /** Whoever asks joins the watch that is here. False where there will be none after all. */
  async #follows({ call }: AgentCall, watch: Watch): Promise<boolean> {
    const isReady = await watch.ready.then(
      () => true,
      () => false,
    );
    if (!isReady) return false;
    const { data, ...position } = await watch.snapshot();
    const { dialect, claim, rpcId } = watch;
    const follow = { watch: claim, ...position, ...(rpcId !== undefined && { rpcId }) };
    await this.#options.replies.follow(call, { dialect, follow, snapshot: data });
    return true;
  }

  /** Another replica has the watch. */
  async #refer(call: ActiveCall, watch: TaskWatch): Promise<undefined> {
    await this.#options.replies.follow(call, { follow: { watch } });
  }

  /** Nobody has it, or nobody who lives: one of those who find that out does from now on. */
  async #claim(to: AgentCall, task: string, unary: Unary): Promise<Ending | undefined> {
    const { call, a2a } = to;
    const watch = this.#watch(to, task);
    const key = keyOf(to.call, task);
    this.#watches.set(key, watch);
    try {
      const gone = a2a.again?.gone ?? a2a.known?.task?.watch;
      const winner = await this.#claims.take(claimOf(call, task), watch.claim, gone);
      if (winner !== undefined) {
        watch.fail(new Fault("unavailable", "another replica has the task"));
        return await this.#refer(call, winner);
      }
      if (a2a.again?.isMoved === true) return await this.#until(to, watch, () => watch.takeOver());
      return await this.#open(to, watch, unary);
    } catch (error) {
      watch.fail(toFault(error));
      throw error;
    } finally {
      if (this.#watches.get(key) === watch) this.#watches.delete(key);
    }
  }

  /** The agent decides whether there is a stream; where it has none of a task that goes on, it is asked now and then. */
  async #open(to: AgentCall, watch: Watch, unary: Unary): Promise<Ending> {
    const exchange = send(to);
    const { status, headers } = await exchange.head;
    if (isStreamAnswer(status, headers)) return await this.#until(to, watch, () => watch.run(exchange));
    if (await watch.isUnderWay().catch(() => false)) {
      exchange.abort(new Fault("client_left", "the task is polled"));
      to.call.detach(exchange);
      return await this.#until(to, watch, () => watch.poll());
    }
    watch.fail(new Fault("upstream_failed", "there is no stream of the task"));
    const ending = await unary(to, exchange);
    if (watch.task !== undefined) await this.#claims.giveUp(claimOf(to.call, watch.task), watch.claim);
    return ending;
  }

  async #until({ call, agent, hold }: AgentCall, watch: Watch, run: () => Promise<Ending>): Promise<Ending> {
    call.patienceMs = agent.endpoint.idleTimeoutMs;
    hold[Symbol.dispose]();
    try {
      return await run();
    } finally {
      const { task } = watch;
      if (task !== undefined) {
        const key = keyOf(call, task);
        if (this.#watches.get(key) === watch) this.#watches.delete(key);
        await this.#claims.giveUp(claimOf(call, task), watch.claim);
      }
    }
  }

  /** A task that is watched already, and spoken to once more, keeps the watch that it has. */
  #keep(key: string, watch: Watch): void {
    if (!this.#watches.has(key)) this.#watches.set(key, watch);
  }

  #watch(to: AgentCall, task: string | undefined): Watch {
    const { bus, agents, replies, registry, audit, held } = this.#options;
    const { call } = to;
    const { tenant, server } = call.head;
    const agent = new WatchAgent(to, { held, agent: () => agents.find(tenant, server) });
    const claim: TaskWatch = { egress: bus.instance, stream: call.head.stream };
    const { dialect, rpcId } = agent;
    const stream = new WatchStream({ replies, audit, views: this.#views, call, dialect, rpcId, by: bus.instance });
    const watch: Watch = new Watch({
      call,
      agent,
      stream,
      claim,
      subject: new WatchSubject(task === undefined ? {} : { ...to.a2a.known?.task, task }),
      onNews: async (said, isNamed) => {
        if (!isNamed) {
          registry.tell(call.head, said, call.head.a2a?.known?.renames);
          return undefined;
        }
        if (said.task === undefined) return await registry.note(call.head, said);
        this.#keep(keyOf(call, said.task), watch);
        return await registry.note(call.head, said, claim);
      },
    });
    return watch;
  }
}

function keyOf({ head }: ActiveCall, task: string): string {
  return `${head.tenant}\0${head.server}\0${task}`;
}

function claimOf({ head: { tenant, server } }: ActiveCall, task: string): Claim {
  return { tenant, server, task };
}
