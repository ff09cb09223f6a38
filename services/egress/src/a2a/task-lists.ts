import { answerFor, paramsOf, requestFor, type Sides } from "@sluice/a2a";
import type { Bus } from "@sluice/bus";
import {
  Fault,
  clientNameOf,
  decodeJson,
  encodeJson,
  longestA2aId,
  subjects,
  toFault,
  type CallHead,
  type Dialect,
  type TaskList,
  type TaskListQuestion,
} from "@sluice/contracts";
import { z } from "zod";
import type { Ending } from "../active-call.ts";
import type { Replies } from "../replies.ts";
import { send, type AgentCall } from "./agent-call.ts";
import { readAnswer } from "./answers.ts";
import { forTenant } from "./tenant-param.ts";
import type { TaskRegistry } from "./task-registry.ts";

export interface TaskListsOptions {
  readonly bus: Bus;
  readonly replies: Replies;
  readonly registry: TaskRegistry;
}

type Entry = TaskList["tasks"][number];
type Task = Readonly<Record<string, unknown>> & {
  readonly status?: { readonly state?: string; readonly timestamp?: string };
};
type Wanted = z.infer<typeof wantedSchema>;

const askedWithinMs = 2_000;
/** Tasks that are fetched at once for one list. */
const atOnce = 8;
/** Lists are made in this dialect, and translated like an agent's. */
const own: Dialect = { version: "1.0", binding: "JSONRPC" };
const unspecified = "TASK_STATE_UNSPECIFIED";

/** What `ListTasks` may ask for (A2A 1.0 §3.1.4). Proto JSON has what is not given as null or empty too. */
const wantedSchema = z.object({
  contextId: z.string().max(longestA2aId).nullish(),
  status: z
    .string()
    .regex(/^(?:TASK_STATE_[A-Z_]+)?$/)
    .max(64)
    .nullish(),
  pageSize: z.int().min(1).max(100).nullish(),
  pageToken: z.string().max(4_096).nullish(),
  historyLength: z.int().min(0).max(2_147_483_647).nullish(),
  statusTimestampAfter: z
    .string()
    .refine((text) => text === "" || !Number.isNaN(Date.parse(text)), "must be a timestamp of ISO 8601")
    .nullish(),
  includeArtifacts: z.boolean().nullish(),
});

/** Answers `ListTasks` from what is known of a caller's own tasks; each is fetched anew from its agent, of whatever revision. */
export class TaskLists {
  readonly #options: TaskListsOptions;

  constructor(options: TaskListsOptions) {
    this.#options = options;
  }

  /** @throws Fault where there is no list */
  async carry(to: AgentCall): Promise<Ending> {
    const { replies } = this.#options;
    const { call, a2a, asked } = to;
    const wanted = wantedSchema.safeParse(paramsOf({ client: a2a.dialect, operation: "ListTasks" }, asked));
    const answer = wanted.success ? await this.#list(to, wanted.data) : invalid(wanted.error.issues[0]);
    const body = Buffer.from(`{"jsonrpc":"2.0","id":${call.head.rpcId ?? "1"},${JSON.stringify(answer).slice(1)}`);
    const headers = { "content-type": "application/json" };
    const ending = await replies.whole(call, { status: 200, headers, body }, { dialect: own });
    return { ...ending, isError: "error" in answer };
  }

  async #list(to: AgentCall, wanted: Wanted): Promise<Listed> {
    const { head } = to.call;
    const limit = wanted.pageSize ?? 50;
    const { tasks, total, cursor, isBadCursor } = await this.#ask(head, wanted, limit);
    if (isBadCursor === true) return invalid({ path: ["pageToken"], message: "is none of this list's" });
    const fetched = await this.#fetchAll(to, tasks, wanted);
    const shown = fetched.filter((task) => fits(task, wanted));
    return { result: { tasks: shown, nextPageToken: cursor ?? "", pageSize: limit, totalSize: total } };
  }

  /** Those that the agent tells, in order. @throws Fault where it tells none because it fails, or is not to be asked any more */
  async #fetchAll(to: AgentCall, entries: readonly Entry[], wanted: Wanted): Promise<Task[]> {
    const fetched: (Task | undefined)[] = [];
    const failures: Fault[] = [];
    const waiting = [...entries.entries()].toReversed();
    const work = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const [index, entry] = next;
        fetched[index] = await this.#fetch(to, entry, wanted).catch((error: unknown) => {
          const fault = to.call.ended ?? toFault(error);
          if (fault.kind !== "upstream_failed") waiting.length = 0;
          failures.push(fault);
          return undefined;
        });
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    const told = fetched.filter((task) => task !== undefined);
    const fault =
      failures.find(({ kind }) => kind !== "upstream_failed") ?? (told.length === 0 ? failures[0] : undefined);
    if (fault !== undefined) throw fault;
    return told;
  }

  async #ask({ tenant, identity, server }: CallHead, wanted: Wanted, limit: number): Promise<TaskList> {
    const { contextId, pageToken } = wanted;
    const [state, since] = [stateOf(wanted), sinceOf(wanted)];
    const question: TaskListQuestion = {
      ...{ tenant, identity, server, limit },
      ...(isGiven(contextId) && { context: contextId }),
      ...(state !== undefined && { state }),
      ...(since !== undefined && { since }),
      ...(isGiven(pageToken) && { cursor: pageToken }),
    };
    const subject = subjects.ask("session-manager", "tasks-list");
    const answer = await this.#options.bus.ask(subject, encodeJson(question), { timeoutMs: askedWithinMs });
    const list = decodeJson<Partial<TaskList>>(answer.data);
    if (list.tasks === undefined) throw new Fault("unavailable", "the tasks could not be listed");
    return list as TaskList;
  }

  /** The task as its agent has it now; undefined where the agent has forgotten it, or tells another. @throws Fault */
  async #fetch(to: AgentCall, { id, renames, state }: Entry, wanted: Wanted): Promise<Task | undefined> {
    const sides: Sides = {
      client: own,
      upstream: to.at.dialect,
      operation: "GetTask",
      rpcId: "1",
      ...(renames !== undefined && { renames }),
    };
    const named = clientNameOf(id, renames?.tasks);
    const { historyLength } = wanted;
    const params = { id: named, ...(typeof historyLength === "number" && { historyLength }) };
    const body = Buffer.from(encodeJson({ jsonrpc: "2.0", id: 1, method: "GetTask", params }));
    const fetching = { ...to, sides, request: forTenant(to.at, requestFor(sides, { http: "POST", rest: "", body })) };
    const { answer, observed } = await readAnswer(fetching, send(fetching));
    const translated = answerFor(sides, answer);
    const { result, error } = JSON.parse(translated.body.toString("utf8")) as Answer;
    if (error?.code === -32001) return undefined;
    if (result === undefined) throw new Fault("upstream_failed", "the agent did not tell about its tasks");
    if (observed.task !== id) return undefined;
    if (observed.state !== state) this.#options.registry.tell(to.call.head, observed, renames);
    if (wanted.includeArtifacts === true) return result;
    const { artifacts: _artifacts, ...rest } = result;
    return rest;
  }
}

interface Answer {
  readonly result?: Task;
  readonly error?: { readonly code?: unknown };
}

type Listed = { readonly result: unknown } | { readonly error: { readonly code: number; readonly message: string } };

function invalid(issue: { readonly path: readonly PropertyKey[]; readonly message: string } | undefined): Listed {
  const message = `${issue?.path.join(".") ?? "params"}: ${issue?.message ?? "is not valid"}`;
  return { error: { code: -32602, message } };
}

/** What the agent says of it now; the index may be behind. */
function fits({ contextId, status }: Task, wanted: Wanted): boolean {
  const state = stateOf(wanted);
  const since = sinceOf(wanted);
  if (isGiven(wanted.contextId) && contextId !== wanted.contextId) return false;
  if (state !== undefined && status?.state !== state) return false;
  return since === undefined || status?.timestamp === undefined || Date.parse(status.timestamp) >= since;
}

function stateOf({ status }: Wanted): string | undefined {
  return isGiven(status) && status !== unspecified ? status : undefined;
}

function sinceOf({ statusTimestampAfter }: Wanted): number | undefined {
  return isGiven(statusTimestampAfter) ? Date.parse(statusTimestampAfter) : undefined;
}

function isGiven(text: string | null | undefined): text is string {
  return text !== null && text !== undefined && text !== "";
}
