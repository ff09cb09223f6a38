import { callQuestionSchema, contentQuestionSchema, Fault, pageQuestionSchema } from "@sluice/contracts";
import { readCall, readContent, readPage } from "@sluice/trail";
import { serveQuestion, type QuestionContext } from "./serve-question.ts";
import type { TrailReader } from "./trail-reader.ts";

export interface QueryOptions {
  readonly trail: TrailReader;
  /** With the rights to read what calls said; without it nobody does through the bus. */
  readonly content?: TrailReader | undefined;
}

const timeoutMs = 10_000;

/** Answers control's questions about the trail: `shared/contracts/src/audit-query.ts`. */
export function answerQuestions(context: QuestionContext, { trail, content }: QueryOptions): void {
  serveQuestion(context, { verb: "page", question: pageQuestionSchema }, (question) =>
    trail.use((client) => readPage(client, question, { timeoutMs })),
  );
  serveQuestion(context, { verb: "call", question: callQuestionSchema }, ({ call }) =>
    trail.use((client) => readCall(client, call)),
  );
  serveQuestion(context, { verb: "content", question: contentQuestionSchema }, async (question) => {
    if (content === undefined)
      throw new Fault("not_found", "content can't be read here: AUDIT_CONTENT_DATABASE_URL is not set");
    return content.use((client) => readContent(client, question));
  });
}
