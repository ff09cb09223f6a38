import type { Delivery } from "@sluice/bus";
import {
  decodeHeadAndBody,
  Fault,
  toFault,
  type FoundPush,
  type PushDead,
  type PushHead,
  type TaskRegister,
  type Webhook,
} from "@sluice/contracts";
import type { Agents } from "./agents.ts";
import { notificationsFor, readTold, type Notification, type ToldTask } from "./push-payload.ts";
import type { PushRegistry } from "./push-registry.ts";
import type { Turns } from "./push-turns.ts";
import type { TaskReader } from "./push-task.ts";
import type { Try, Webhooks } from "./push-webhooks.ts";

export interface DelivererOptions {
  readonly registry: Pick<PushRegistry, "find" | "bind" | "register">;
  readonly agents: Pick<Agents, "find" | "lists">;
  readonly webhooks: Pick<Webhooks, "post">;
  readonly tasks: Pick<TaskReader, "read">;
  readonly turns: Turns;
  readonly maxTries: number;
  readonly maxRefusals: number;
  readonly maxAgeMs: number;
}

/** What is to be done with a notification now, and what of it may be told. */
export interface Verdict {
  /** `gone`: nobody wants to be told any more. `busy`: it was not tried, for want of a turn. */
  readonly is: "delivered" | "again" | "dead" | "gone" | "busy";
  readonly about: PushDead;
  readonly retryAfterMs?: number;
}

interface Held {
  readonly head: PushHead;
  readonly body: Buffer;
  readonly told: ToldTask;
  readonly about: PushDead;
  readonly tries: number;
}

/** Takes one notification to its client, once: asks whose it is, translates, posts. */
export class Deliverer {
  readonly #options: DelivererOptions;

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  /** Never throws: what is wrong here is tried again. */
  async deliver({ data, tries }: Pick<Delivery, "data" | "tries">): Promise<Verdict> {
    const { head, body } = decodeHeadAndBody<PushHead>(data);
    const about = { id: head.id, at: head.at, reason: "", tries, bytes: body.length };
    try {
      const told = readTold(body);
      if (told === undefined) return dead(about, "no_task");
      return await this.#tell({ head, body, told, about: { ...about, task: told.task }, tries });
    } catch (error) {
      return this.#judged(about, { is: "failed", why: toFault(error).kind });
    }
  }

  async #tell(held: Held): Promise<Verdict> {
    const push = await this.#find(held);
    if (push === undefined) return { is: "gone", about: { ...held.about, reason: "no_configuration" } };
    const about = { ...held.about, ...described(push) };
    if (push.is === "foreign") return dead(about, "foreign_task");
    if (!this.#isServed(push)) return dead(about, "revoked");
    const told = await this.#wholeOf(push, held);
    const notifications = translated(push, held.told, told);
    if (notifications === undefined) return dead(about, "untranslatable");
    using turn = await this.#options.turns.take(`${push.tenant} ${about.host}`);
    if (turn === undefined) return { is: "busy", about: { ...about, reason: "busy" } };
    return this.#judged(about, await this.#post(push.webhook, notifications));
  }

  async #post(webhook: Webhook, notifications: readonly Notification[]): Promise<Try> {
    let last: Try = { is: "delivered", why: "nothing_to_tell" };
    for (const one of notifications) {
      last = await this.#options.webhooks.post(webhook, one);
      if (last.is !== "delivered") return last;
    }
    return last;
  }

  /** An agent may tell of a task before its answer has said which one it is. */
  async #find({ head: { id }, told: { task } }: Held): Promise<FoundPush | undefined> {
    const { registry } = this.#options;
    const { push } = await registry.find({ id, task });
    if (push?.is !== "pending") return push;
    const { tenant, identity, server, call, chosenTask, renames } = push;
    const isRenamed = chosenTask !== undefined && chosenTask !== task;
    const tasks = [...(isRenamed ? [{ client: chosenTask, upstream: task }] : []), ...(renames?.tasks ?? [])];
    const whose = { tenant, identity, server, task };
    const register: TaskRegister = { ...whose, ...(tasks.length > 0 && { renames: { tasks } }) };
    const { ok } = await registry.register(register);
    if (!ok) return { ...push, is: "foreign" };
    await registry.bind({ ...whose, call, ...(isRenamed && { clientTask: chosenTask }) });
    return (await registry.find({ id, task })).push;
  }

  /** What belongs to an agent that is gone from the configuration, on either side, is told to nobody (A8). */
  #isServed({ tenant, server, agent, isListed }: FoundPush): boolean {
    const { agents } = this.#options;
    return agents.find(tenant, server) !== undefined && (!isListed || agents.lists(tenant, agent));
  }

  /** Clients of revisions before 1.0 are told the task whole, of which an agent of 1.0 may tell a part. */
  async #wholeOf(push: FoundPush, { told, body, head }: Held): Promise<Buffer> {
    if (told.isWhole || !told.isWrapped || push.client.version === "1.0") return body;
    return await this.#options.tasks.read(push, told.task, head.traceparent);
  }

  #judged(about: PushDead, { is, why, status, retryAfterMs }: Try): Verdict {
    const { maxTries, maxRefusals, maxAgeMs } = this.#options;
    const told = { ...about, reason: why, ...(status !== undefined && { status }) };
    if (is === "delivered") return { is, about: told };
    const isOver = about.tries >= maxTries || Date.now() - about.at >= maxAgeMs;
    if (isOver || (is === "refused" && about.tries >= maxRefusals)) return { is: "dead", about: told };
    return { is: "again", about: told, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
}

/** Undefined for what is no word of any revision. */
function translated(push: FoundPush, told: ToldTask, body: Buffer): readonly Notification[] | undefined {
  try {
    return notificationsFor(push, told, body);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

function dead(about: PushDead, reason: string): Verdict {
  return { is: "dead", about: { ...about, reason } };
}

/** Nothing of a webhook's address but its host. */
function described({ tenant, server, agent, config, webhook }: FoundPush) {
  const { host } = new URL(webhook.url);
  return { tenant, server, agent, host, ...(config !== undefined && { config }) };
}
