import { expect, it } from "vitest";
import { decidedLine, definitionOf, type Tool } from "./pins.ts";

const [old, fresh] = ["abcd".padEnd(64, "0"), "abce".padEnd(64, "1")] as const;

function toolWith(states: readonly [string, Tool["definitions"][number]["state"]][], state: Tool["state"]): Tool {
  return {
    server: "files",
    tool: "read",
    state,
    definitions: states.map(([hash, one]) => ({ hash, state: one, seenAt: 0 })),
  };
}

it("a definition is named by any beginning of its hash that no other has", () => {
  const tool = toolWith(
    [
      [old, "approved"],
      [fresh, "pending"],
    ],
    "quarantined",
  );
  expect(definitionOf(tool, "ABCE11111111")).toBe(fresh);
  expect(definitionOf(tool, old)).toBe(old);
  expect(() => definitionOf(tool, "abc")).toThrow("too short");
  expect(() => definitionOf(tool, "ffff")).toThrow("not seen with this definition");
  expect(() =>
    definitionOf(
      { ...tool, definitions: [...tool.definitions, { hash: `${fresh.slice(0, 63)}2`, state: "pending", seenAt: 0 }] },
      "abce",
    ),
  ).toThrow(fresh);
});

it("a decision tells what became of the definition, and which one is in use", () => {
  expect(
    decidedLine(
      toolWith(
        [
          [old, "approved"],
          [fresh, "rejected"],
        ],
        "approved",
      ),
      fresh,
    ),
  ).toBe("abce11111111 is rejected; may be used: abcd00000000");
  expect(decidedLine(toolWith([[fresh, "rejected"]], "rejected"), fresh)).toBe(
    "abce11111111 is rejected; no definition may be used",
  );
});
