import type { Incoming } from "@sluice/bus";
import {
  clientNameOf,
  encodeJson,
  longestA2aId,
  subjects,
  type TaskList,
  type TaskRegister,
  type TaskRegistered,
} from "@sluice/contracts";
import { z } from "zod";
import { read, type Serving } from "./serving.ts";
import { questionOf, taskListOf } from "./task-list.ts";
import { isStorable, type Registration } from "./task-names.ts";
import type { Tasks } from "./tasks.ts";

export interface TaskDeps extends Pick<Serving, "reply" | "ignored"> {
  readonly tasks: Tasks;
  readonly counted: (what: "registered" | "foreign" | "watched" | "listed", count?: number) => void;
}

type Handler = (deps: TaskDeps, message: Incoming) => Promise<void>;

const id = z.string().min(1).max(longestA2aId).refine(isStorable);
const owner = { tenant: z.string().min(1), server: z.string().min(1) };
const watchSchema = z.object({ egress: z.string().min(1).max(64), stream: z.string().min(1).max(128) });
const renamedSchema = z.array(z.object({ client: id, upstream: id })).max(256);
const stateSchema = z.string().max(64).refine(isStorable);
const registerSchema = z.object({
  ...owner,
  identity: z.string().min(1),
  task: id.optional(),
  context: id.optional(),
  renames: z.object({ tasks: renamedSchema.optional(), contexts: renamedSchema.optional() }).optional(),
  state: stateSchema.optional(),
  stateAt: z.number().int().min(0).optional(),
  watch: watchSchema.optional(),
});
const watchChangeSchema = z.object({
  ...owner,
  task: id,
  expected: watchSchema.optional(),
  watch: watchSchema.optional(),
});
const mostListed = 100;
const listSchema = z.object({
  ...owner,
  identity: z.string().min(1),
  context: id.optional(),
  state: stateSchema.optional(),
  since: z.number().int().optional(),
  limit: z.number().int().min(1).max(mostListed),
  cursor: z.string().max(4_096).optional(),
});

/** A message that cannot be kept stays unanswered, and so does not go on. */
const handleRegister: Handler = async ({ tasks, reply, ignored, counted }, message) => {
  const asked = read(registerSchema, message) as TaskRegister | undefined;
  if (asked === undefined || message.reply === undefined) return ignored("not a task that waits to be registered");
  const answer: TaskRegistered = { ok: await tasks.register(registrationOf(asked, Date.now())) };
  counted(answer.ok ? "registered" : "foreign");
  reply(message.reply, encodeJson(answer));
};

const handleWatch: Handler = async ({ tasks, reply, ignored, counted }, message) => {
  const change = read(watchChangeSchema, message);
  if (change === undefined || message.reply === undefined) return ignored("not a watch that waits to be changed");
  const { expected, watch, ...rest } = change;
  const answer = await tasks.watch({ ...rest, ...(expected && { expected }), ...(watch && { watch }) });
  counted("watched");
  reply(message.reply, encodeJson(answer));
};

const handleList: Handler = async ({ tasks, reply, ignored, counted }, message) => {
  const asked = read(listSchema, message);
  if (asked === undefined || message.reply === undefined) return ignored("not a question for tasks");
  const question = questionOf(asked as Parameters<typeof questionOf>[0]);
  const answer: TaskList =
    question === undefined
      ? { tasks: [], total: 0, isBadCursor: true }
      : taskListOf(question, await tasks.list(question));
  counted("listed");
  reply(message.reply, encodeJson(answer));
};

/** Serves what egress and ingress ask of tasks. */
export function serveTasks(serve: Serving["serve"], deps: TaskDeps): void {
  serve(subjects.ask("session-manager", "tasks-register"), (message) => handleRegister(deps, message));
  serve(subjects.ask("session-manager", "tasks-watch"), (message) => handleWatch(deps, message));
  serve(subjects.ask("session-manager", "tasks-list"), (message) => handleList(deps, message));
}

/** An agent whose clock is ahead does not keep later states out. */
function registrationOf(asked: TaskRegister, now: number): Registration {
  const { tenant, identity, server, task, context, renames, state, stateAt = now, watch } = asked;
  return {
    ...{ tenant, identity, server },
    ...(task !== undefined && { task: { client: clientNameOf(task, renames?.tasks), upstream: task } }),
    ...(context !== undefined && { context: { client: clientNameOf(context, renames?.contexts), upstream: context } }),
    ...(state !== undefined && { state }),
    stateAt: Math.min(stateAt, now),
    ...(watch !== undefined && { watch }),
  };
}
