import { describe, expect, it } from "vitest";
import { failedFiles, replaced, tally, uncited } from "./tally.ts";
import type { Report } from "./tally.ts";

describe("the counts of a run", () => {
  it("are those of the tests that passed and failed", () => {
    expect(tally(reportOf({ one: "passed", two: "passed", three: "failed" }))).toEqual({
      passed: 2,
      failed: 1,
      remarks: [],
    });
  });

  it("take a test that did not run for a failed one and say which", () => {
    const { passed, failed, remarks } = tally(reportOf({ one: "passed", two: "skipped", three: "todo" }));
    expect({ passed, failed }).toEqual({ passed: 1, failed: 2 });
    expect(remarks.join("\n")).toMatch(/skipped.*: two\n.*todo.*: three/);
  });

  it("leave alone what a choice by name left out", () => {
    expect(tally(reportOf({ one: "passed", two: "skipped" }), true)).toMatchObject({ passed: 1, failed: 0 });
  });

  it("count a file that could not be loaded as one failure", () => {
    const report = {
      testResults: [{ name: "a.test.ts", status: "failed", message: "no such file", assertionResults: [] }],
    };
    expect(tally(report)).toEqual({
      passed: 0,
      failed: 1,
      remarks: ["failed outside its tests: a.test.ts no such file"],
    });
  });
});

describe("files that are run again", () => {
  const named = (name: string, statuses: Record<string, string>) => ({
    ...reportOf(statuses).testResults[0]!,
    name,
  });
  const report = { testResults: [named("a", { one: "passed", two: "failed" }), named("b", { three: "passed" })] };

  it("are those in which something failed", () => {
    expect(failedFiles(report)).toEqual(["a"]);
  });

  it("count as they ended the second time, and where they did not run as the first time", () => {
    const again = { testResults: [named("a", { one: "passed", two: "passed" })] };
    expect(tally(replaced(report, again))).toMatchObject({ passed: 3, failed: 0 });
    expect(tally(replaced(report))).toMatchObject({ passed: 2, failed: 1 });
  });
});

describe("the acceptance manifest", () => {
  it("wants each id in the title of a test that passed", () => {
    const report = reportOf({ "T1: cited": "passed", "cites T2": "failed", "about T30 alone": "passed" });
    expect(uncited({ T1: "one", T2: "two", T3: "three" }, report)).toEqual([
      "no passed test cites T2 (two)",
      "no passed test cites T3 (three)",
    ]);
  });

  it("takes several ids in one title", () => {
    expect(uncited({ T1: "one", T2: "two" }, reportOf({ "guarantee (T1, T2)": "passed" }))).toEqual([]);
  });
});

function reportOf(statuses: Record<string, string>): Report {
  const assertionResults = Object.entries(statuses).map(([fullName, status]) => ({ fullName, status }));
  const status = assertionResults.some((test) => test.status === "failed") ? "failed" : "passed";
  return { testResults: [{ name: "a.test.ts", status, message: "", assertionResults }] };
}
