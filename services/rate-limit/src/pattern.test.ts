import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePattern } from "./pattern.ts";

describe("patterns", () => {
  it("fit what a plain reading with `*` for any run of characters says", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 10 });
    fc.assert(
      fc.property(text, text, (pattern, candidate) => {
        const expression = new RegExp(`^${pattern.replaceAll(/\*+/g, "[^]*")}$`, "u");
        expect(compilePattern(pattern)(candidate)).toBe(expression.test(candidate));
      }),
      { numRuns: 10_000 },
    );
  });

  it("take everything but the wildcard literally, case included", () => {
    expect(compilePattern("sentinel-*")("Sentinel-1")).toBe(false);
    expect(compilePattern("a.c")("abc")).toBe(false);
  });
});
