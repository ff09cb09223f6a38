import type { Incoming } from "@sluice/bus";
import { decodeJson, encodeJson, Fault, subjects, toFault, type AuditAnswer } from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import type { z } from "zod";

export type QuestionContext = Pick<Context<BaseConfig>, "bus" | "log" | "scope">;

/** Answers one kind of control's questions, on `gw.ask.v1.audit.<verb>`, by an `AuditAnswer`. */
export function serveQuestion<Question extends z.ZodType>(
  { bus, log, scope }: QuestionContext,
  { verb, question }: { verb: string; question: Question },
  answer: (question: z.output<Question>) => Promise<unknown>,
): void {
  const serving = bus.serve(subjects.ask("audit", verb), async ({ data, reply }: Incoming) => {
    if (reply === undefined) return;
    const answered = await Promise.resolve(data)
      .then((bytes) => answer(read(question, bytes)))
      .then(answerOf, (error: unknown) => {
        const fault = toFault(error);
        if (fault.row.status >= 500)
          log.warn({ error: describeError(fault.cause ?? error), verb }, "a question about the trail was not answered");
        return refusalOf(fault);
      });
    bus.tell(reply, encodeJson(answered));
  });
  scope.defer(() => serving.drain());
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
