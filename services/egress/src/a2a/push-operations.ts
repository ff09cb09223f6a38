import { randomBytes } from "node:crypto";
import {
  answerFor,
  paramsOf,
  requestFor,
  type Observed,
  type Sides,
  type WireAnswer,
  type WireRequest,
} from "@sluice/a2a";
import {
  Fault,
  pushHandle,
  pushToken,
  type A2aOperation,
  type CallHead,
  type Dialect,
  type ListedPush,
  type PushKeys,
} from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import type { Ending } from "../active-call.ts";
import type { Replies } from "../replies.ts";
import { send, type AgentCall } from "./agent-call.ts";
import type { Agents } from "./agents.ts";
import { readAnswer } from "./answers.ts";
import type { PushRegistry } from "./push-registry.ts";
import { forTenant } from "./tenant-param.ts";
import { inlineWebhook, readWebhook, requireCallable, type GivenWebhook, type ToldWebhook } from "./push-webhook.ts";

export interface PushOptions {
  readonly registry: PushRegistry;
  readonly agents: Agents;
  readonly replies: Replies;
  readonly guard: AddressGuard;
  /** Undefined: there are no push notifications. */
  readonly keys: PushKeys | undefined;
  /** Where agents reach the gateway, where that is not where clients do. */
  readonly publicUrl: string | undefined;
  /** How long an agent may tell of a task. */
  readonly lifeMs: number;
}

/** What these operations are read and answered in; whoever speaks to a party translates. */
const plain: Dialect = { version: "1.0", binding: "JSONRPC" };
const idBytes = 16;

type Saving = Pick<AgentCall, "a2a" | "at"> & { readonly head: CallHead };
type Way = (to: AgentCall) => Promise<Ending>;

interface Params {
  readonly id?: string;
}

/** The client's webhook stays here: agents are told the gateway's own address, and clients their own. */
export class PushOperations {
  readonly #options: PushOptions;
  /** Calls that saved a webhook, until it is bound. */
  readonly #open = new Set<string>();
  readonly ways: Partial<Record<A2aOperation, Way>> = {
    CreateTaskPushNotificationConfig: (to) => this.#create(to),
    GetTaskPushNotificationConfig: (to) => this.#get(to),
    ListTaskPushNotificationConfigs: (to) => this.#list(to),
    DeleteTaskPushNotificationConfig: (to) => this.#delete(to),
  };

  constructor(options: PushOptions) {
    this.#options = options;
  }

  /** A message as the agent may have it; the webhook that it names is kept before. @throws Fault */
  async withoutWebhook(saving: Saving, asked: WireRequest): Promise<WireRequest> {
    const inline = await inlineWebhook(saving.a2a.dialect, asked.body);
    if (inline === undefined) return asked;
    return { ...asked, body: inline.replacedBy(await this.#save(saving, inline)) };
  }

  /** Binds the webhook that this call brought, as soon as it is known what task it is for. @throws Fault `unavailable` */
  async bind({ call, tenant, identity, server, a2a }: CallHead, { task }: Observed): Promise<void> {
    if (task === undefined || !this.#open.delete(call)) return;
    const { named, known } = a2a ?? {};
    const clientTask = named?.task ?? known?.renames?.tasks?.find(({ upstream }) => upstream === task)?.client;
    const bound = { call, tenant, identity, server, task, ...(clientTask !== undefined && { clientTask }) };
    await this.#options.registry.bind(bound);
  }

  /** The agent has answered whole: what this call brought is forgotten where no task was bound to it. */
  async settle({ call, tenant, identity, server }: CallHead): Promise<void> {
    if (this.#open.delete(call)) await this.#options.registry.drop({ call, tenant, identity, server }).catch(() => {});
  }

  /** Without an answer the agent may tell of a task yet. */
  over({ call }: CallHead): void {
    this.#open.delete(call);
  }

  async #save({ head, a2a, at }: Saving, { webhook, config }: GivenWebhook): Promise<ToldWebhook> {
    const { keys, guard, registry, agents, lifeMs, publicUrl = a2a.publicUrl } = this.#options;
    if (keys === undefined || publicUrl === undefined) throw off();
    requireCallable(webhook, guard);
    const { call, tenant, identity, server, agent } = head;
    const id = randomBytes(idBytes).toString("base64url");
    const expiresAt = Date.now() + lifeMs;
    const task = a2a.known?.task?.id;
    // Up to 0.3 a configuration without a name is the task's only one, from 1.0 on it is one more.
    const name = config ?? (a2a.dialect.version === "1.0" ? id : undefined);
    this.#open.add(call);
    const { refused } = await registry.save({
      ...{ call, tenant, identity, server, id, expiresAt, webhook },
      agent: agent.id,
      isListed: agents.lists(tenant, agent.id),
      client: a2a.dialect,
      upstream: at.dialect,
      ...(name !== undefined && { config: name }),
      ...(task === undefined ? chosenBy(a2a.named) : { task }),
      ...(a2a.known?.renames !== undefined && { renames: a2a.known.renames }),
    });
    if (refused !== undefined) this.#open.delete(call);
    if (refused === "off") throw off();
    if (refused === "full") throw new Fault("invalid_request", "the task has as many webhooks as it may have");
    const url = `${publicUrl}/a2a/push/${pushHandle(keys, { tenant, id, expiresAt })}`;
    return { id: config ?? id, url, token: pushToken(keys, id) };
  }

  /** What the agent refuses is not kept, and what was there before stays. */
  async #create(to: AgentCall): Promise<Ending> {
    const { head } = to.call;
    const task = taskOf(to);
    const given = readWebhook(askedFor(to));
    const told = await this.#save({ ...to, head }, given);
    const { answer, error } = await this.#ask(to, { ...told, taskId: task });
    if (error !== undefined) {
      await this.settle(head);
      return await this.#relay(to, error);
    }
    this.#open.delete(head.call);
    const { call, tenant, identity, server } = head;
    const { task: named } = to.a2a.named;
    const names = { ...(named !== undefined && { clientTask: named }), upstreamConfig: answer?.id ?? told.id };
    const { configs } = await this.#options.registry.bind({ call, tenant, identity, server, task, ...names });
    const { url, authentication } = given.webhook;
    const scheme = authentication && { scheme: authentication.scheme };
    return await this.#answer(to, shown({ config: configs[0] ?? told.id, url, ...scheme }, task));
  }

  /** What is not kept here the agent is asked about, for its own words. */
  async #get(to: AgentCall): Promise<Ending> {
    const config = this.#nameIn(to);
    const { configs } = await this.#find(to, config);
    const [found] = configs;
    if (found !== undefined) return await this.#answer(to, shown(found, taskOf(to)));
    const { error } = await this.#ask(to, { taskId: taskOf(to), id: config });
    if (error !== undefined) return await this.#relay(to, error);
    throw new Fault("task_not_found", "the task has no such push notification configuration");
  }

  async #list(to: AgentCall): Promise<Ending> {
    const task = taskOf(to);
    const { configs } = await this.#find(to);
    const { error } = configs.length > 0 ? {} : await this.#ask(to, { taskId: task });
    if (error !== undefined) return await this.#relay(to, error);
    return await this.#answer(to, { configs: configs.map((one) => shown(one, task)), nextPageToken: "" });
  }

  /** The agent forgets first: should that fail, the client can try again. */
  async #delete(to: AgentCall): Promise<Ending> {
    const task = taskOf(to);
    const config = this.#nameIn(to);
    const { configs } = await this.#find(to, config);
    const { error } = await this.#ask(to, { taskId: task, id: configs[0]?.upstreamConfig ?? config });
    if (error !== undefined && configs.length === 0) return await this.#relay(to, error);
    const { tenant, identity, server } = to.call.head;
    await this.#options.registry.delete({ tenant, identity, server, task, config });
    return await this.#answer(to, {});
  }

  async #find(to: AgentCall, config?: string): Promise<{ configs: readonly ListedPush[] }> {
    if (this.#options.keys === undefined) throw off();
    const { tenant, identity, server } = to.call.head;
    const named = { tenant, identity, server, task: taskOf(to), ...(config !== undefined && { config }) };
    const listed = await this.#options.registry.list(named);
    if (listed.isOff === true) throw off();
    return listed;
  }

  /** Up to 0.3 who names no configuration means the one that is called like the task. */
  #nameIn(to: AgentCall): string {
    const { id } = askedFor(to);
    return to.a2a.named.pushConfig ?? (id === undefined || id === "" ? (to.a2a.named.task ?? taskOf(to)) : id);
  }

  /** Asks the agent in its own words, where it has any; `error` is what it answered where that is one. */
  async #ask(to: AgentCall, params: object): Promise<{ answer?: Params; error?: WireAnswer }> {
    const { client: _, renames: __, ...rest } = to.sides;
    const sides: Sides = { ...rest, client: plain, rpcId: to.sides.rpcId ?? "1" };
    const body = rpc(sides.rpcId, "method", to.sides.operation, params);
    const request = wordsFor(sides, body);
    if (request === undefined) return {};
    const asking = { ...to, sides, request: forTenant(to.at, request) };
    const { answer, observed } = await readAnswer(asking, send(asking));
    if (observed.kind === "error" || answer.status >= 400) return { error: answer };
    const { result } = JSON.parse(answerFor(sides, answer).body.toString("utf8")) as { result?: Params };
    return result === null || typeof result !== "object" ? {} : { answer: result };
  }

  async #relay(to: AgentCall, { status, contentType, body }: WireAnswer): Promise<Ending> {
    const headers = { "content-type": contentType };
    const ending = await this.#options.replies.whole(to.call, { status, headers, body }, { dialect: to.at.dialect });
    return { ...ending, isError: true };
  }

  async #answer(to: AgentCall, result: object): Promise<Ending> {
    const body = rpc(to.sides.rpcId ?? "1", "result", result);
    const answer = { status: 200, headers: { "content-type": "application/json" }, body };
    return await this.#options.replies.whole(to.call, answer, { dialect: plain });
  }
}

/** Agents of 0.1 can neither list nor delete: nothing is asked of them, and what they go on to tell is told to nobody. */
function wordsFor(sides: Sides, body: Buffer): WireRequest | undefined {
  try {
    return requestFor(sides, { http: "POST", rest: "", body });
  } catch (error) {
    if (error instanceof Fault && error.kind === "unsupported_operation") return undefined;
    throw error;
  }
}

const off = () => new Fault("push_not_supported", "push notifications are not supported");

/** Session-manager knew it, or the call was not admitted. */
function taskOf({ a2a }: Pick<AgentCall, "a2a">): string {
  const task = a2a.known?.task?.id;
  if (task === undefined) throw new Fault("task_not_found", "there is no such task");
  return task;
}

function askedFor({ a2a, sides, asked }: AgentCall): Params {
  return paramsOf({ ...sides, client: a2a.dialect }, asked);
}

/** What clients see of what is kept: no secrets. */
function shown({ config, url, scheme }: ListedPush, taskId: string): object {
  return { taskId, id: config, url, ...(scheme !== undefined && { authentication: { scheme } }) };
}

function chosenBy({ task, mayBeNew }: { task?: string | undefined; mayBeNew?: true | undefined }): {
  chosenTask?: string;
} {
  return mayBeNew === true && task !== undefined ? { chosenTask: task } : {};
}

function rpc(id: string | undefined, ...message: ["result", object] | ["method", string, object]): Buffer {
  const [kind, first, params] = message;
  const told = kind === "result" ? { result: first } : { method: first, params };
  return Buffer.from(`{"jsonrpc":"2.0","id":${id ?? "null"},${JSON.stringify(told).slice(1)}`);
}
