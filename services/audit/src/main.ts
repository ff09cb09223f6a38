import { databaseOptions, run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { startDestinations } from "./dispatch/start.ts";
import { PostgresEvents } from "./events-postgres.ts";
import { startKeeper } from "./keeper/start.ts";
import { OpenCalls } from "./open-calls-postgres.ts";
import { openReaders } from "./query/open-readers.ts";
import { answerQuestions } from "./query/answer-questions.ts";
import { startAudit } from "./service.ts";
import { startTrail } from "./start-trail.ts";

await run({
  name: "audit",
  config: configSchema,
  start: async (context) => {
    const { AUDIT_ACK_WAIT_MS, AUDIT_BATCH_EVENTS, AUDIT_BATCH_WAIT_MS } = context.config;
    const { AUDIT_FILE_DIR: fileDir, AUDIT_DESTINATIONS_CA_FILE: caFile } = context.config;
    const database = databaseOptions(context.config, context);
    const trail = startTrail(context, database);
    const destinations = await startDestinations(context, { database, fileDir, caFile });
    const onStored = (log: string, size: number) => {
      trail.stored(log, size);
      destinations.wake();
    };
    startAudit(context, {
      events: context.scope.use(new PostgresEvents(database, onStored)),
      calls: context.scope.use(new OpenCalls(database)),
      ackWaitMs: AUDIT_ACK_WAIT_MS,
      batch: { weight: AUDIT_BATCH_EVENTS, waitMs: AUDIT_BATCH_WAIT_MS },
    });
    answerQuestions(context, openReaders(context));
    startKeeper(context);
  },
});
