import { expect, it } from "vitest";
import { covers, Operators, roles } from "./operators.ts";

it("an operator is known by name until they expire, as by token: who acts for them may no longer then", () => {
  const operators = new Operators("r".repeat(32));
  operators.replace([{ name: "alice", roles: ["admin"], expiresAtMs: 1_000, hashes: ["0".repeat(64)] }]);
  expect([operators.knows("alice", 999), operators.knows("alice", 1_000)]).toEqual([true, false]);
  expect([operators.knows("admin", 1_000), operators.knows("bob", 1)]).toEqual([true, false]);
});

it.each([
  [["auditor"], ["auditor"]],
  [["admin"], ["auditor", "admin"]],
  [["content-auditor"], ["auditor", "content-auditor"]],
  [
    ["admin", "content-auditor"],
    ["auditor", "admin", "content-auditor"],
  ],
] as const)("who has the roles %j may do what takes one of %j, and nothing else", (has, may) => {
  expect(roles.filter((needed) => covers(has, needed))).toEqual(may);
});
