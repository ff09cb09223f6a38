import { parseArgs } from "node:util";
import { readConfAt } from "./conf-here.ts";
import { fileOf } from "./conf-path.ts";
import { ConfProblems, lineOf, type Problem } from "./conf-problems.ts";

const refusedExit = 2;
const failedExit = 1;

/**
 * Checks a configuration without running anything: `node services/control/dist/check.js [--json] conf`. Problems go to
 * stderr, warnings to stdout; with `--json` both to stdout, as one object.
 */
try {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: "boolean" } } });
  const file = await fileOf(positionals[0] ?? "conf");
  const warnings: Problem[] = [];
  const problems = await problemsOf(file, warnings);
  if (problems !== undefined) process.exitCode = refusedExit;
  if (values.json === true) {
    const told = { ok: problems === undefined, file, problems: problems?.problems ?? [], warnings };
    process.stdout.write(`${JSON.stringify(told, null, 2)}\n`);
  } else {
    for (const warning of warnings) process.stdout.write(`${lineOf(warning)}\n`);
    if (problems !== undefined) process.stderr.write(`${problems.message}\n`);
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = failedExit;
}

async function problemsOf(file: string, warnings: Problem[]): Promise<ConfProblems | undefined> {
  try {
    await readConfAt(file, (warning) => void warnings.push(warning));
    return undefined;
  } catch (error) {
    if (error instanceof ConfProblems) return error;
    throw error;
  }
}
