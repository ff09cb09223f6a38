import { expect, it } from "vitest";
import { reportLines, type Replayed } from "./replay-lines.ts";

const group = {
  becomes: "deny",
  ...{ tenant: "acme", was: "accessRules[0].allowedTools[0]", now: "default-deny" },
  ...{ agent: "desk-1", method: "tools/call", server: "files", target: "write", calls: 3 },
  ...{ first: "2026-11-20T00:00:00.000Z", last: "2026-11-21T00:00:00.000Z", example: "c-9" },
} as const;
const at = { file: "conf/tenants.yaml", line: 7, column: 9 };
const nothing: Replayed = {
  ...{ calls: 0, first: null, last: null, otherwise: 0, newlyDenied: 0, newlyAllowed: 0, changed: [], lists: 0 },
  untold: { calls: 0, groups: [] },
  uncompared: { calls: 0, reasons: [] },
  shadow: { calls: 0, untold: 0, groups: [] },
};

it("tells what changes by rule, what can't be told and what is not compared, and sums it up last", () => {
  const rule = "accessRules[1].allowedTools[0]";
  const lines = reportLines(
    {
      ...{ calls: 9, first: group.first, last: group.last, otherwise: 4, newlyDenied: 3, newlyAllowed: 1, lists: 1 },
      changed: [group, { ...group, was: "default-deny", now: rule, at, becomes: "allow", target: null, calls: 1 }],
      untold: {
        calls: 2,
        groups: [{ tenant: "acme", because: "why", rules: [rule, "other"], at, calls: 2, example: "c-3" }],
      },
      uncompared: { calls: 1, reasons: [{ because: "agent_rate_limited", calls: 1 }] },
      shadow: { calls: 1, untold: 1, groups: [{ ...group, calls: 1, agent: "a\u001b[31m", server: null }] },
    },
    50,
  );
  const table = (columns: string) =>
    expect.stringMatching(new RegExp(`^ +${columns.replaceAll(" ", " +")}$`)) as string;
  const header = table("CALLS TENANT AGENT METHOD TARGET FIRST LAST EXAMPLE");
  expect(lines).toEqual([
    "newly denied: 3 calls",
    "  accessRules[0].allowedTools[0] → default-deny",
    header,
    table(`3 acme desk-1 tools/call files/write ${group.first} ${group.last} c-9`),
    "",
    "newly allowed: 1 call",
    `  default-deny → ${rule} (conf/tenants.yaml:7:9)`,
    header,
    table(`1 acme desk-1 tools/call files ${group.first} ${group.last} c-9`),
    "",
    "rules in shadow mode, were they in force: denied: 1 call",
    "  accessRules[0].allowedTools[0] → default-deny",
    header,
    expect.not.stringContaining("\u001b"),
    "",
    "rules in shadow mode look at arguments, which are not on record: 1 call",
    "",
    "can't be told: 2 calls",
    `          2  acme: why: ${rule} (conf/tenants.yaml:7:9), other, such as c-3`,
    "",
    "not compared, because rules did not decide them: 1 call",
    "          1  agent_rate_limited",
    "",
    "1 call asked for lists or cards: what was in them, and would be hidden, is not on record",
    "",
    `8 calls replayed from ${group.first} to ${group.last}, 4 would be decided otherwise (3 newly denied, 1 newly allowed), of 2 it can't be told; 1 not compared`,
  ]);
});

it("shows no more groups than are wanted, and says that there are more", () => {
  const lines = reportLines({ ...nothing, calls: 6, otherwise: 6, newlyDenied: 6, changed: [group, group] }, 1);
  expect(lines.filter((line) => line.includes("c-9"))).toHaveLength(1);
  expect(lines).toContain("  and 1 more group: --limit, --json");
});

it("says that nothing changes in one line", () => {
  expect(reportLines(nothing, 50)).toEqual([
    "0 calls replayed, 0 would be decided otherwise (0 newly denied, 0 newly allowed), of 0 it can't be told; 0 not compared",
  ]);
});
