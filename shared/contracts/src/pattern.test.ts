import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePattern, isExact } from "./pattern.ts";

/** An independent reading of the definition: the table of which prefix of the pattern fits which prefix of the text. */
function reference(pattern: string, text: string): boolean {
  let fits = [true, ...Array<boolean>(text.length).fill(false)];
  for (const unit of pattern.split("")) {
    const next = fits.map(() => false);
    for (let at = 0; at <= text.length; at++) {
      next[at] =
        unit === "*"
          ? fits[at] === true || next[at - 1] === true
          : at > 0 && fits[at - 1] === true && text[at - 1] === unit;
    }
    fits = next;
  }
  return fits[text.length] === true;
}

const fewLetters = (letters: string) => fc.string({ unit: fc.constantFrom(...letters), maxLength: 12 });

describe("patterns", () => {
  it("fit exactly what their definition says, for dense patterns and texts", () => {
    fc.assert(
      fc.property(fewLetters("ab*"), fewLetters("ab*"), (pattern, text) => {
        expect(compilePattern(pattern)(text)).toBe(reference(pattern, text));
      }),
      { numRuns: 20_000 },
    );
  });

  it("fit exactly what their definition says, for any characters", () => {
    const text = fc.string({ unit: "binary", maxLength: 8 });
    fc.assert(
      fc.property(text, text, text, (a, b, c) => {
        expect(compilePattern(`${a}*${b}`)(a + c + b)).toBe(true);
        expect(compilePattern(`${a}*${b}`)(c)).toBe(reference(`${a}*${b}`, c));
      }),
    );
  });

  it("without a wildcard fit only themselves", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        const pattern = a.replaceAll("*", "");
        expect(isExact(pattern)).toBe(true);
        expect(compilePattern(pattern)(b)).toBe(pattern === b);
        expect(compilePattern(pattern)(pattern)).toBe(true);
      }),
    );
  });

  it("take characters that mean something in regular expressions literally", () => {
    expect(compilePattern("a.c")("abc")).toBe(false);
    expect(compilePattern("[a-z]+")("b")).toBe(false);
    expect(compilePattern("a?*")("a?b")).toBe(true);
    expect(compilePattern("a?*")("ab")).toBe(false);
  });

  it("tell upper from lower case", () => {
    expect(compilePattern("sentinel-*")("Sentinel-1")).toBe(false);
    expect(compilePattern("*-1")("sentinel-1")).toBe(true);
  });

  it("do not let the text before and after one wildcard overlap", () => {
    expect(compilePattern("aba*aba")("aba")).toBe(false);
    expect(compilePattern("ab*ab")("abab")).toBe(true);
    expect(compilePattern("*ab*b")("ab")).toBe(false);
  });

  it("answer at once where going back over the text would take ages", () => {
    expect(compilePattern(`${"a*".repeat(100)}b`)("a".repeat(100_000))).toBe(false);
    expect(compilePattern(`*${"a*b*".repeat(60)}c`)(`${"ab".repeat(50_000)}d`)).toBe(false);
  });
});
