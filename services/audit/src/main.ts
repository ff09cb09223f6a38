import { databaseOptions, run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { PostgresEvents } from "./events-postgres.ts";
import { startKeeper } from "./keeper/start.ts";
import { openReaders } from "./query/open-readers.ts";
import { answerQuestions } from "./query/answer-questions.ts";
import { startAudit } from "./service.ts";
import { startTrail } from "./start-trail.ts";

await run({
  name: "audit",
  config: configSchema,
  start: async (context) => {
    const { AUDIT_ACK_WAIT_MS, AUDIT_BATCH_EVENTS, AUDIT_BATCH_WAIT_MS } = context.config;
    const database = databaseOptions(context.config, context);
    const trail = startTrail(context, database);
    startAudit(context, {
      events: context.scope.use(new PostgresEvents(database, (log, size) => trail.stored(log, size))),
      ackWaitMs: AUDIT_ACK_WAIT_MS,
      batch: { weight: AUDIT_BATCH_EVENTS, waitMs: AUDIT_BATCH_WAIT_MS },
    });
    answerQuestions(context, openReaders(context));
    startKeeper(context);
  },
});
