import { createAddressGuard } from "@sluice/net";
import { expect, it } from "vitest";
import { readConf } from "./read-conf.ts";

const source = { file: "tenants.yaml", guard: createAddressGuard([]) };
const withRule = (rule: string) => `tenants:
  acme:
    mcp: { endpoints: [{ name: main, url: "https://mcp.example.com/mcp" }] }
    accessRules:
      - agentPattern: "*"
        allowedTools: [read]
${rule.replaceAll(/^/gm, "        ")}
`;

function refusalOf(rule: string): string {
  try {
    readConf(withRule(rule), source);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}
const path = "tenants.acme.accessRules.0.when";

it("P5: a condition is accepted however YAML writes it", () => {
  for (const rule of ["when: \"agent.id == 'a'\"", "when: agent.id != 'a'", "when: |\n  agent.id == 'a' &&\n    true"])
    expect(readConf(withRule(rule), source).tenants["acme"]?.accessRules[0]?.when).toContain("agent.id");
});

it.each([
  ["in quotes", "when: \"agent.id == 'a' && agent.nope == 'b'\"", `7:41: ${path}: No such key: nope`],
  ["plain", "when: agent.id + 1", `7:15: ${path}: no such overload: string + int`],
  [
    "in a block",
    "when: |\n  agent.id == 'a' &&\n    args.list.map(x, x).size() > 1",
    `9:13: ${path}: map() is not available`,
  ],
  ["folded", "when: >\n  agent.id == 'a' &&\n  agent.id + 1", `7:9: ${path}: no such overload: string + int`],
  ["of another type", "when: agent.id", `7:15: ${path}: it gives a value of type string, and must give true or false`],
])("P5: one that is none, %s, is refused with file, line, column and reason", (_how, rule, told) => {
  expect(refusalOf(rule)).toContain(`tenants.yaml:${told}`);
});

it("says at which character the mistake is where the file writes the text otherwise", () => {
  expect(refusalOf("when: >\n  agent.id == 'a' &&\n  agent.id + 1")).toContain("(at character 20 of it)");
});
