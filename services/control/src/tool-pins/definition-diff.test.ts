import { describe, expect, it } from "vitest";
import { pretty, unified } from "./definition-diff.ts";

describe("a diff of definitions", () => {
  it("shows what changed, line by line, and nothing else", () => {
    const before = pretty('{"description":"Reads","inputSchema":{"type":"object"},"name":"read"}');
    const after = pretty('{"description":"Reads, and tells","inputSchema":{"type":"object"},"name":"read"}');
    const lines = unified({ hash: "a", text: before }, { hash: "b", text: after }).split("\n");
    expect(lines.filter((line) => /^[-+]/.test(line))).toEqual([
      "--- a",
      "+++ b",
      '-  "description": "Reads",',
      '+  "description": "Reads, and tells",',
    ]);
  });

  it("shows a first definition whole", () => {
    const diff = unified({ hash: undefined, text: "" }, { hash: "b", text: pretty('{"name":"read"}') });
    expect(diff).toContain("--- (none)");
    expect(diff).toContain('+  "name": "read"');
  });

  it("writes out what nobody could see, and keeps numbers as they are", () => {
    expect(pretty('{"a":"x\u202e\u200b\u0085\u00a0y 漢字 é","n":12345678901234567890}')).toBe(
      '{\n  "a": "x\\u202e\\u200b\\u0085\\u00a0y 漢字 é",\n  "n": 12345678901234567890\n}\n',
    );
  });

  it("of texts without a common line is both of them, in bounded time", () => {
    const text = (sign: string) => Array.from({ length: 20_000 }, (_, index) => `${sign}${index}\n`).join("");
    const diff = unified({ hash: "a", text: text("x") }, { hash: "b", text: text("y") });
    expect(diff).toContain("-x19999\n");
    expect(diff).toContain("+y19999\n");
  });
});
