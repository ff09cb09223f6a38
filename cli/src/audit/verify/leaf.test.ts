import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson } from "@sluice/json";
import { entryHash, Malformed } from "./leaf.ts";
import { leafHashOf } from "./merkle.ts";

/** RFC 8785, Appendix B: the bits of a double, and how it is written. */
const numbers = {
  "0000000000000000": "0",
  "8000000000000000": "0",
  "0000000000000001": "5e-324",
  "8000000000000001": "-5e-324",
  "7fefffffffffffff": "1.7976931348623157e+308",
  ffefffffffffffff: "-1.7976931348623157e+308",
  "4340000000000000": "9007199254740992",
  c340000000000000: "-9007199254740992",
  "4430000000000000": "295147905179352830000",
  "44b52d02c7e14af5": "9.999999999999997e+22",
  "44b52d02c7e14af6": "1e+23",
  "44b52d02c7e14af7": "1.0000000000000001e+23",
  "444b1ae4d6e2ef4e": "999999999999999700000",
  "444b1ae4d6e2ef4f": "999999999999999900000",
  "444b1ae4d6e2ef50": "1e+21",
  "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
  "3eb0c6f7a0b5ed8d": "0.000001",
  "41b3de4355555553": "333333333.3333332",
  "41b3de4355555554": "333333333.33333325",
  "41b3de4355555555": "333333333.3333333",
  "41b3de4355555556": "333333333.3333334",
  "41b3de4355555557": "333333333.33333343",
  becbf647612f3696: "-0.0000033333333333333333",
  "43143ff3c1cb0959": "1424953923781206.2",
};

test("numbers are written as RFC 8785, Appendix B, has them", () => {
  for (const [bits, written] of Object.entries(numbers))
    expect(canonicalize(Buffer.from(bits, "hex").readDoubleBE())).toBe(written);
  for (const bits of ["7fffffffffffffff", "7ff0000000000000"])
    expect(() => canonicalize(Buffer.from(bits, "hex").readDoubleBE())).toThrow();
});

test("the example of RFC 8785, §3.2.2, and the order of names of §3.2.3", () => {
  const example = String.raw`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`;
  expect(canonicalize(JSON.parse(example))).toBe(
    String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
  );
  const names = ["\u20ac", "\r", "\ufb33", "1", "\ud83d\ude00", "\u0080", "\u00f6"];
  const sorted = Object.keys(
    JSON.parse(canonicalize(Object.fromEntries(names.map((name) => [`_${name}`, 0]))) as string) as object,
  );
  expect(sorted).toEqual(["_\r", "_1", "_\u0080", "_\u00f6", "_\u20ac", "_\ud83d\ude00", "_\ufb33"]);
});

test("the writer's library and the verifier's write the same", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => canonicalize(value) === canonicalJson(value)),
  );
});

const salt = "0a".repeat(32);
const sha256 = (...parts: (string | Buffer)[]) =>
  parts.reduce<ReturnType<typeof createHash>>((sum, part) => sum.update(part), createHash("sha256")).digest("hex");

test("a leaf is the hash of the canonical record, with commitments in the place of what is sealed", () => {
  const event = {
    b: 1,
    agent_id: "größe",
    captured: { z: 1, a: [1.0] },
    content: Buffer.from([0, 255]).toString("base64"),
  };
  const sealed = { agent_id: { salt }, captured: { salt }, content: { salt }, peer: { commitment: "ab".repeat(32) } };
  const key = Buffer.from(salt, "hex");
  const record = `{"agent_id":"${sha256(key, "größe")}","b":1,"captured":"${sha256(key, '{"a":[1],"z":1}')}","content":"${sha256(key, Buffer.from([0, 255]))}","peer":"${"ab".repeat(32)}"}`;
  expect(entryHash({ event, sealed })).toEqual(leafHashOf(record));
});

test.each([
  [{ agent_id: "a" }, {}],
  [{}, { agent_id: { salt } }],
  [{ agent_id: "a" }, { agent_id: { commitment: salt } }],
  [{ agent_id: "a" }, { agent_id: { salt, commitment: salt } }],
  [{ agent_id: "a" }, { agent_id: { salt: salt.toUpperCase() } }],
  [{ agent_id: "a" }, { agent_id: { salt: "07" } }],
  [{ agent_id: 7 }, { agent_id: { salt } }],
  [{ agent_id: "a" }, { agent_id: null }],
  [{ method: "a" }, { method: { salt } }],
  [{ method: "\ud800" }, {}],
])("%j with %j is no event that was stored", (event, sealed) => {
  expect(() => entryHash({ event, sealed: sealed as never })).toThrow(Malformed);
});
