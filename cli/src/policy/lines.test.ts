import { expect, it } from "vitest";
import { linesOf } from "./lines.ts";

const at = (line: number) => ({ file: "conf/tenants.yaml", line, column: 9 });

it("tells the decision first, then what each rule says, the deciding one marked", () => {
  const lines = linesOf({
    decision: "deny",
    rule: "default-deny",
    argumentRule: "accessRules[0].allowedTools[0]",
    shadow: { decision: "allow", rule: "accessRules[1].allowedTools[0]", at: at(9) },
    statements: [
      {
        rule: "accessRules[0].allowedTools[0]",
        at: at(7),
        pattern: "read",
        when: "args.a",
        says: "fails",
        decides: true,
      },
    ],
    silent: ["accessRules[2]"],
    others: 2,
    allowed: [],
  });
  expect(lines).toEqual([
    "deny: default-deny",
    "  because of the arguments: accessRules[0].allowedTools[0]",
    "  with the rules in shadow mode: allow: accessRules[1].allowedTools[0] (conf/tenants.yaml:9:9)",
    "  the agent may use: nothing",
    '* accessRules[0].allowedTools[0] (conf/tenants.yaml:7:9) "read" fails',
    "      when: args.a",
    "  about this agent, and nothing that fits: accessRules[2]",
    "  about other agents: 2 rules",
  ]);
});
