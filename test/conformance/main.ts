import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import baseline from "./baseline.json" with { type: "json" };
import { runClient } from "./client/run-client.ts";
import { readOptions, usage, type ConformanceOptions } from "./options.ts";
import { complaints, reportText } from "./report.ts";
import { runCells } from "./run-cells.ts";

async function run(options: ConformanceOptions): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), "sluice-conformance-"));
  try {
    const onProgress = (line: string) => console.log(line);
    const results = options.cells.length === 0 ? [] : await runCells({ ...options, dir, baseline, onProgress });
    if (options.client) results.push(...(await runClient({ ...options, dir, onProgress })));
    console.log(`\n${reportText(results)}`);
    return complaints(results).length === 0 ? 0 : 1;
  } finally {
    if (options.keep) console.log(`the suites' results are in ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) console.log(usage);
  else process.exitCode = await run(options);
} catch (error) {
  console.error(`conformance: ${(error as Error).message}`);
  process.exitCode = 2;
}
