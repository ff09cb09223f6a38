import { createHash } from "node:crypto";
import type { TaskList, TaskListQuestion } from "@sluice/contracts";
import { z } from "zod";
import { renamesOf } from "./task-names.ts";

/** The last of the page before. */
interface Position {
  readonly stateAt: number;
  readonly upstream: string;
}

export interface TaskQuestion extends Omit<TaskListQuestion, "cursor"> {
  readonly after?: Position;
}

interface ListedTask extends Position {
  readonly client: string;
  readonly state: string | undefined;
  readonly context: string | undefined;
  readonly contextClient: string | undefined;
}

export interface TaskPage {
  readonly tasks: readonly ListedTask[];
  /** Of all pages. */
  readonly total: number;
}

const cursorSchema = z.tuple([z.string(), z.number().int(), z.string()]);

/** The question at its cursor; undefined where the cursor is none of this question's. */
export function questionOf({ cursor, ...question }: TaskListQuestion): TaskQuestion | undefined {
  if (cursor === undefined) return question;
  const position = readCursor(cursor);
  if (position === undefined || position[0] !== digestOf(question)) return undefined;
  return { ...question, after: { stateAt: position[1], upstream: position[2] } };
}

/** The answer, with the cursor of the next page where there may be one. */
export function taskListOf(question: TaskQuestion, { tasks, total }: TaskPage): TaskList {
  const last = tasks.length === question.limit ? tasks.at(-1) : undefined;
  return {
    tasks: tasks.map((task) => {
      const { upstream: id, client, state, context, contextClient } = task;
      const renames = renamesOf(
        [{ client, upstream: id }],
        context === undefined ? [] : [{ client: contextClient ?? context, upstream: context }],
      );
      return { id, ...(state !== undefined && { state }), ...(renames !== undefined && { renames }) };
    }),
    total,
    ...(last !== undefined && { cursor: cursorOf(question, last) }),
  };
}

function cursorOf(question: TaskQuestion, { stateAt, upstream }: Position): string {
  return Buffer.from(JSON.stringify([digestOf(question), stateAt, upstream])).toString("base64url");
}

function readCursor(cursor: string): z.infer<typeof cursorSchema> | undefined {
  try {
    return cursorSchema.safeParse(JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

function digestOf({
  tenant,
  server,
  identity,
  context,
  state,
  since,
}: Omit<TaskListQuestion, "cursor" | "limit">): string {
  const asked = JSON.stringify([tenant, server, identity, context ?? null, state ?? null, since ?? null]);
  return createHash("sha256").update(asked).digest("base64url").slice(0, 16);
}
