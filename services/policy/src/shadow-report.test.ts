import { expect, it } from "vitest";
import { Registry, type Log } from "@sluice/telemetry";
import { ShadowReport } from "./shadow-report.ts";

function world() {
  const lines: Record<string, unknown>[] = [];
  const metrics = new Registry();
  const clock = { now: 0 };
  const log = { info: (fields: Record<string, unknown>) => void lines.push(fields) } as unknown as Log;
  const report = new ShadowReport({ log, metrics, now: () => clock.now });
  const counts = async () => {
    const [metric] = await metrics.getMetricsAsJSON();
    return metric?.values.map(({ labels, value }) => [labels["tenant"], labels["rule"], labels["decision"], value]);
  };
  return { report, lines, clock, counts };
}
const verdict = (rule: string) => ({ rule: "default-deny", shadow: { decision: "allow" as const, rule } });

it("counts each difference by rule, and logs a rule once a minute with how often it was since", async () => {
  const { report, lines, clock, counts } = world();
  for (let index = 0; index < 3; index++) report.add("acme", verdict("accessRules[1].allowedTools[0]"));
  report.add("acme", verdict("accessRules[2].allowedTools[0]"));
  expect(lines.map(({ rule, count }) => [rule, count])).toEqual([
    ["accessRules[1].allowedTools[0]", 1],
    ["accessRules[2].allowedTools[0]", 1],
  ]);
  clock.now = 60_000;
  report.add("acme", verdict("accessRules[1].allowedTools[0]"));
  expect(lines.at(-1)).toMatchObject({ tenant: "acme", decision: "allow", decidedBy: "default-deny", count: 3 });
  expect(await counts()).toEqual([
    ["acme", "accessRules[1].allowedTools[0]", "allow", 4],
    ["acme", "accessRules[2].allowedTools[0]", "allow", 1],
  ]);
});

it("has at most 500 rules with labels of their own", async () => {
  const { report, lines, counts } = world();
  for (let index = 0; index < 600; index++) report.add("acme", verdict(`accessRules[${index}].allowedTools[0]`));
  const values = (await counts()) ?? [];
  expect(values).toHaveLength(501);
  expect(values.at(-1)).toEqual(["other", "other", "allow", 100]);
  expect(lines).toHaveLength(500);
});
