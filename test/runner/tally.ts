/** What is read of the report that vitest's `json` reporter writes. */
export interface Report {
  testResults: FileResult[];
}

interface FileResult {
  name: string;
  status: string;
  message: string;
  assertionResults: { fullName: string; status: string }[];
}

/** A run in numbers, and one line for each failure that vitest's own output doesn't count as one. */
export interface Tally {
  passed: number;
  failed: number;
  remarks: string[];
}

/**
 * Counts what passed and what didn't. A test that didn't run counts as failed, so does a file that failed outside its
 * tests; `selected` says that the caller chose tests by name, where those left out are no failure.
 */
export function tally(report: Report, selected = false): Tally {
  const total: Tally = { passed: 0, failed: 0, remarks: [] };
  for (const file of report.testResults) {
    const failedBefore = total.failed;
    for (const { fullName, status } of file.assertionResults) {
      if (status === "passed") total.passed += 1;
      else if (status === "failed") total.failed += 1;
      else if (!selected) count(total, `did not run (${status}), tests never skip themselves: ${fullName}`);
    }
    if (file.status === "failed" && total.failed === failedBefore) {
      count(total, `failed outside its tests: ${file.name} ${file.message}`.trimEnd());
    }
  }
  return total;
}

/** The names of the files in which something failed. */
export function failedFiles(report: Report): string[] {
  return report.testResults
    .filter((file) => file.status === "failed" || file.assertionResults.some(({ status }) => status === "failed"))
    .map(({ name }) => name);
}

/** The report with the results of the files that another run ran again. */
export function replaced(report: Report, again: Report = { testResults: [] }): Report {
  const byName = new Map(again.testResults.map((file) => [file.name, file]));
  return { testResults: report.testResults.map((file) => byName.get(file.name) ?? file) };
}

/** The lines for the promises of the manifest that no passed test cites: an id is cited as a word of the full title. */
export function uncited(manifest: Record<string, string>, report: Report): string[] {
  const passed = report.testResults.flatMap((file) =>
    file.assertionResults.filter(({ status }) => status === "passed"),
  );
  const words = new Set(passed.flatMap(({ fullName }) => fullName.split(/[^\p{L}\p{N}]+/u)));
  return Object.entries(manifest)
    .filter(([id]) => !words.has(id))
    .map(([id, promise]) => `no passed test cites ${id} (${promise})`);
}

/** Adds one failure with its line. */
export function count(total: Tally, remark: string): void {
  total.failed += 1;
  total.remarks.push(remark);
}
