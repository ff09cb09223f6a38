import { readConfAt } from "./conf-here.ts";
import { ConfProblems } from "./conf-problems.ts";
import { editionOf, type Place } from "./explain/edition.ts";
import type { RecordedCall } from "./replay/recorded-call.ts";
import { Replay } from "./replay/replay.ts";
import { Tally } from "./replay/tally.ts";

const refusedExit = 2;
const failedExit = 1;

/**
 * Replays recorded calls under a configuration that need not be in force: `node services/control/dist/replay.js conf`. Says an
 * empty line once the configuration is read; then calls come on standard input, one JSON object a line, and what was found
 * is written as JSON.
 */
try {
  const accepted = await readConfAt(process.argv[2] ?? "conf");
  process.stdout.write("\n");
  const replay = new Replay(accepted.conf);
  const tally = new Tally();
  for await (const call of recorded()) {
    tally.add(call, replay.judge(call));
  }
  const edition = editionOf(accepted);
  const { changed, untold, shadow, ...rest } = tally.report();
  const placed = <Of extends { readonly tenant: string }>(group: Of, rule: string | undefined): Of & { at?: Place } => {
    const at = rule === undefined ? undefined : edition.placeOf(rule, group.tenant);
    return { ...group, ...(at !== undefined && { at }) };
  };
  const report = {
    file: accepted.file,
    ...rest,
    changed: changed.map((group) => placed(group, group.now)),
    untold: { ...untold, groups: untold.groups.map((group) => placed(group, group.rules[0])) },
    shadow: { ...shadow, groups: shadow.groups.map((group) => placed(group, group.now)) },
  };
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfProblems ? refusedExit : failedExit;
}

async function* recorded(): AsyncGenerator<RecordedCall> {
  let rest = "";
  for await (const chunk of process.stdin.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as RecordedCall;
  }
}
