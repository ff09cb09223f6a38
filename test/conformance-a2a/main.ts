import baseline from "./baseline.json" with { type: "json" };
import type { Baseline } from "./compare.ts";
import { readOptions } from "./options.ts";
import { quietly } from "./quietly.ts";
import { complaints, reportText } from "./report.ts";
import { runCells } from "./run-cells.ts";

try {
  const options = readOptions(process.argv.slice(2));
  if (typeof options === "string") console.log(options);
  else {
    const log = console.log.bind(console);
    const results = await quietly(() => runCells({ ...options, baseline: baseline as Baseline, onProgress: log }));
    log(`\n${reportText(results)}`);
    process.exitCode = complaints(results).length === 0 ? 0 : 1;
  }
} catch (error) {
  console.error(`conformance: ${(error as Error).message}`);
  process.exitCode = 2;
}
