import { eraseQuestionSchema, Fault, personQuestionSchema } from "@sluice/contracts";
import { isFaultOfTheData } from "@sluice/runtime/postgres";
import type { PoolClient } from "pg";
import { serveQuestion, type QuestionContext } from "../query/serve-question.ts";
import { erase, find } from "./erase.ts";
import type { Keeper } from "./keeper.ts";

/** Answers control where somebody is to be forgotten: whom it concerns (`person`), and that it be done (`erase`). */
export function answerErasures(context: QuestionContext, keeper: Keeper | undefined): void {
  const use = <Result>(work: (client: PoolClient) => Promise<Result>): Promise<Result> => {
    if (keeper === undefined)
      throw new Fault("unavailable", "nobody can be forgotten: AUDIT_KEEPER_DATABASE_URL of audit is not set");
    return keeper.use(work).catch((cause: unknown) => {
      if (cause instanceof Fault || isFaultOfTheData(cause)) throw cause;
      throw new Fault("unavailable", "the audit database does not answer, or does not let the keeper do it", { cause });
    });
  };
  serveQuestion(context, { verb: "person", question: personQuestionSchema }, ({ tenant, subject }) =>
    use(async (client) => (await find(client, tenant, { value: subject })) ?? unknown()),
  );
  serveQuestion(context, { verb: "erase", question: eraseQuestionSchema }, ({ tenant, commitment }) =>
    use(async (client) => {
      if ((await find(client, tenant, { commitment })) === undefined) unknown();
      return { ...(await erase(client, tenant, commitment)), commitment };
    }),
  );
}

function unknown(): never {
  throw new Fault("not_found", "the tenant's trail speaks of nobody by that name, or they were forgotten already");
}
