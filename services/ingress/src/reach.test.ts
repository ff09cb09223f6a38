import { expect, it } from "vitest";
import { requireReach } from "./reach.ts";

const reaches = (servers: string[] | undefined, ...[protocol, server]: ["mcp" | "a2a", string?]) => {
  try {
    requireReach(servers === undefined ? {} : { servers }, protocol, server);
    return true;
  } catch {
    return false;
  }
};

it("A2: a credential for a server of one protocol is none for what has the same name in the other", () => {
  expect(reaches(undefined, "a2a", "planner")).toBe(true);
  expect(reaches(["mcp/planner"], "mcp", "planner")).toBe(true);
  expect(reaches(["mcp/planner"], "a2a", "planner")).toBe(false);
  expect(reaches(["mcp/planner"], "mcp")).toBe(false);
  expect(reaches(["mcp/*"], "mcp")).toBe(true);
  expect(reaches(["mcp/*"], "a2a", "planner")).toBe(false);
  expect(reaches(["a2a/*", "mcp/files"], "a2a", "planner")).toBe(true);
  expect(reaches([], "mcp", "files")).toBe(false);
});
