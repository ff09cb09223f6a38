import type { Incoming } from "@sluice/bus";
import {
  callQuestionSchema,
  contentQuestionSchema,
  decodeJson,
  encodeJson,
  Fault,
  pageQuestionSchema,
  subjects,
  toFault,
  type AuditAnswer,
} from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import { readCall, readContent, readPage } from "@sluice/trail";
import type { z } from "zod";
import type { TrailReader } from "./trail-reader.ts";

export interface QueryOptions {
  readonly trail: TrailReader;
  /** With the rights to read what calls said; without it nobody does through the bus. */
  readonly content?: TrailReader | undefined;
}

const timeoutMs = 10_000;

/** Answers control's questions about the trail: `shared/contracts/src/audit-query.ts`. */
export function answerQuestions(
  { bus, log, scope }: Pick<Context<BaseConfig>, "bus" | "log" | "scope">,
  { trail, content }: QueryOptions,
): void {
  const serve = (verb: string, answer: (data: Uint8Array) => Promise<unknown>) => {
    const serving = bus.serve(subjects.ask("audit", verb), async ({ data, reply }: Incoming) => {
      if (reply === undefined) return;
      const answered = await answer(data).then(answerOf, (error: unknown) => {
        const fault = toFault(error);
        if (fault.row.status >= 500)
          log.warn({ error: describeError(fault.cause ?? error), verb }, "the trail could not be read");
        return refusalOf(fault);
      });
      bus.tell(reply, encodeJson(answered));
    });
    scope.defer(() => serving.drain());
  };
  serve("page", async (data) => {
    const question = read(pageQuestionSchema, data);
    return trail.use((client) => readPage(client, question, { timeoutMs }));
  });
  serve("call", async (data) => {
    const { call } = read(callQuestionSchema, data);
    return trail.use((client) => readCall(client, call));
  });
  serve("content", async (data) => {
    const question = read(contentQuestionSchema, data);
    if (content === undefined)
      throw new Fault("not_found", "content can't be read here: AUDIT_CONTENT_DATABASE_URL is not set");
    return content.use((client) => readContent(client, question));
  });
}

/** @throws Fault `invalid_request` */
function read<Schema extends z.ZodType>(schema: Schema, data: Uint8Array): z.output<Schema> {
  const question = schema.safeParse(decodeJson(data));
  if (question.success) return question.data;
  const [issue] = question.error.issues;
  throw new Fault("invalid_request", `${issue?.path.join(".")}: ${issue?.message}`, { cause: question.error });
}

function answerOf<Value>(value: Value): AuditAnswer<Value> {
  return { ok: true, value };
}

function refusalOf({ kind, message }: Fault): AuditAnswer<never> {
  return { ok: false, error: kind, message };
}
