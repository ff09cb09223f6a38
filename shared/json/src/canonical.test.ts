import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { canonicalJson, parseExact } from "./canonical.ts";

const canonical = (text: string) => canonicalJson(parseExact(text));

describe("canonical JSON", () => {
  it("is what RFC 8785 says of its own examples", () => {
    const source = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    expect(canonical(source)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`.replace(
        "333333333.3333333,",
        // Not the double that it looks like: it keeps its spelling.
        "333333333.33333329,",
      ),
    );
    const names = String.raw`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`;
    expect(Object.values(JSON.parse(canonical(names)) as object)).toHaveLength(7);
    expect(canonical(names)).toBe(`{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}`);
  });

  it("is the same for every spelling of a value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const pretty = JSON.stringify(value, null, 3);
        expect(canonical(pretty)).toBe(canonical(JSON.stringify(value)));
        expect(JSON.parse(canonical(pretty))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    for (const [one, other] of [
      ["1.0", "1"],
      ["1e2", "100"],
      ["-0", "0"],
      ["0.0", "0"],
      ["1E23", "1e+23"],
    ] as const)
      expect(canonical(one)).toBe(canonical(other));
  });

  it("never makes one of two numbers that JavaScript takes for the same", () => {
    for (const [one, other] of [
      ["9007199254740993", "9007199254740992"],
      ["12345678901234567890", "12345678901234567891"],
      ["1e400", "1e401"],
      ["1e-400", "0"],
      ["0.1", "0.1000000000000000055"],
      ["1.2345e-320", "1.2346e-320"],
      ["-1e400", "1e400"],
    ] as const) {
      expect(canonical(one)).not.toBe(canonical(other));
    }
  });

  it("tells an own __proto__ and names that look alike from others", () => {
    expect(canonical('{"__proto__":1}')).not.toBe(canonical("{}"));
    expect(canonical('{"е":1}')).not.toBe(canonical('{"e":1}'));
  });
});
