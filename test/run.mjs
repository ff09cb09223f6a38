// `npm test`: runs every vitest project, or what its arguments select, and ends with the counts.
import { readFile } from "node:fs/promises";
import { count, failedFiles, replaced, tally, uncited } from "./runner/tally.ts";
import { runVitest } from "./runner/vitest.ts";

const DEADLINE_MS = 60 * 60_000;
/** So many failed files may have had bad luck, as whole houses share two cores; more are no bad luck. */
const MOST_AGAIN = 8;

process.chdir(new URL("..", import.meta.url).pathname);
const args = process.argv.slice(2);
const selectedByName = args.some((arg) => /^(-t|--testNamePattern)/.test(arg));
let { report = { testResults: [] }, complaint } = await runVitest(args, DEADLINE_MS);
const failed = args.length === 0 ? failedFiles(report) : [];
if (failed.length > 0 && failed.length <= MOST_AGAIN) {
  process.stdout.write(`\nfailed, and tried once more from the start:\n${failed.join("\n")}\n\n`);
  const again = await runVitest(failed, DEADLINE_MS);
  report = replaced(report, again.report);
  complaint = again.complaint;
}
const total = tally(report, selectedByName);

// Errors outside of any test and a crash of vitest itself leave no other trace than its exit code.
if (complaint && total.failed === 0) count(total, `${complaint}; see the errors above`);
if (total.passed + total.failed === 0) count(total, "no test ran");
if (args.length === 0) {
  const manifest = JSON.parse(await readFile("test/acceptance.json", "utf8"));
  for (const line of uncited(manifest, report)) count(total, line);
}

const lines = [...total.remarks.map((remark) => `FAILED ${remark}`), `${total.passed} passed, ${total.failed} failed`];
process.stdout.write(`\n${lines.join("\n")}\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
