import { text } from "node:stream/consumers";
import { Fault } from "@sluice/contracts";
import { z } from "zod";
import { readConfAt } from "./conf-here.ts";
import { ConfProblems } from "./conf-problems.ts";
import { explainCall } from "./explain/explain-call.ts";
import { questionSchema } from "./explain/question.ts";

const refusedExit = 2;
const failedExit = 1;

/** Explains a call without running anything: `node services/control/dist/explain.js conf`, the question as JSON on standard input. */
try {
  const accepted = await readConfAt(process.argv[2] ?? "conf");
  const question = questionSchema.safeParse(JSON.parse(await text(process.stdin)));
  if (!question.success) throw new Fault("invalid_request", z.prettifyError(question.error));
  process.stdout.write(`${JSON.stringify(explainCall(accepted, question.data), null, 2)}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfProblems ? refusedExit : failedExit;
}
