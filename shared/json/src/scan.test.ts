import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutElements, compile, explain, scan, scanAsync, text, value, type Plan, type Scan } from "./index.ts";

const nothing = compile([], []);
const message = compile([
  ["jsonrpc"],
  ["id"],
  ["method"],
  ["params"],
  ["params", "name"],
  ["params", "_meta", "a.b/c"],
]);
const stricter = ["duplicate_key", "lone_surrogate", "ambiguous_key"];

function read(source: string | Buffer, plan: Plan = nothing): Scan {
  return scan(Buffer.from(source as string), plan);
}

function errorOf(source: string | Buffer, plan?: Plan): string {
  const result = read(source, plan);
  return result.ok ? "none" : `${result.error.kind}@${result.error.offset}`;
}

function parse(bytes: Buffer): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) };
  } catch {
    return undefined;
  }
}

const padding = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
const documents = fc
  .tuple(fc.jsonValue({ maxDepth: 5, stringUnit: "binary" }), fc.constantFrom(undefined, 1, "\t"), padding, padding)
  .map(([json, indent, before, after]) => Buffer.from(before + JSON.stringify(json, null, indent) + after));
const mutations = fc.array(
  fc.record({
    at: fc.nat(),
    remove: fc.nat(2),
    insert: fc.constantFrom(
      "",
      '"',
      "\\",
      "\\u",
      "\\ud83d",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "0",
      "-",
      ".",
      "e",
      " ",
      "\u0001",
      "é",
      "true",
    ),
  }),
  { minLength: 1, maxLength: 3 },
);

describe("validity", () => {
  test("whatever JSON.stringify writes is read, and the root is exactly the value", () => {
    fc.assert(
      fc.property(documents, (bytes) => {
        const result = read(bytes);
        expect(result.ok).toBe(true);
        if (result.ok) expect(value(bytes, result.root)).toEqual(parse(bytes)?.value);
      }),
      { numRuns: 500 },
    );
  });

  test("a damaged document passes only if JSON.parse takes it, and is refused otherwise only by the stricter rules", () => {
    fc.assert(
      fc.property(documents, mutations, (bytes, changes) => {
        let damaged = bytes;
        for (const { at, remove, insert } of changes) {
          const start = at % (damaged.length + 1);
          damaged = Buffer.concat([damaged.subarray(0, start), Buffer.from(insert), damaged.subarray(start + remove)]);
        }
        const result = read(damaged);
        if (parse(damaged) === undefined) expect(result.ok).toBe(false);
        else if (!result.ok) expect(stricter).toContain(result.error.kind);
      }),
      { numRuns: 3000 },
    );
  });

  test("any cut of a document into slices gives the same answer", async () => {
    await fc.assert(
      fc.asyncProperty(documents, fc.integer({ min: 1, max: 9 }), async (bytes, sliceBytes) => {
        const cut = bytes.subarray(0, bytes.length - (sliceBytes % 2));
        const pause = () => Promise.resolve();
        expect(await scanAsync(cut, message, { sliceBytes, pause })).toEqual(scan(cut, message));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["", "invalid_json@0"],
    ["  ", "invalid_json@2"],
    ["{} x", "invalid_json@3"],
    ["[1,]", "invalid_json@3"],
    ['{"a":1,}', "invalid_json@7"],
    ["[01]", "invalid_json@2"],
    ["1.", "invalid_json@2"],
    ["-", "invalid_json@1"],
    ["1e+", "invalid_json@3"],
    ["+1", "invalid_json@0"],
    ["NaN", "invalid_json@0"],
    ["nul", "invalid_json@3"],
    ['"a', "invalid_json@2"],
    ['"\t"', "invalid_json@1"],
    ['"\\x"', "invalid_json@2"],
    ['"\\u12g4"', "invalid_json@5"],
    ['"\\ud800"', "lone_surrogate@1"],
    ['"\\udc00"', "lone_surrogate@1"],
    ['"\\ud800\\ud800"', "lone_surrogate@1"],
    ['{"\\udfff":1}', "lone_surrogate@2"],
    ["\ufeff{}", "byte_order_mark@0"],
    ["// c\n1", "invalid_json@0"],
    [`[${"9".repeat(16_385)}]`, "token_too_long@1"],
    [`{"${"n".repeat(16_385)}":1}`, "token_too_long@1"],
  ])("%j is refused at the offending byte", (source, expected) => {
    expect(errorOf(source)).toBe(expected);
  });

  test("a control character is found wherever it stands in a long string", () => {
    for (let shift = 0; shift < 4; shift++) {
      for (let at = 0; at < 200; at++) {
        const memory = Buffer.alloc(210, "é");
        const bytes = memory.subarray(shift, shift + 202);
        bytes.fill("x").fill('"', 0, 1).fill('"', 201);
        expect(errorOf(bytes)).toBe("none");
        bytes[1 + at] = 0x1f;
        const result = scan(bytes, nothing);
        expect(result).toEqual({ ok: false, error: { kind: "invalid_json", offset: 1 + at } });
      }
    }
  });

  test("bytes that are not UTF-8 are refused where the first bad character begins", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.string({ maxLength: 10 }), (before, after) => {
        const start = Buffer.from(before.toWellFormed());
        const bytes = Buffer.concat([start, Buffer.from([0xff]), Buffer.from(after)]);
        if (start[0] !== 0xef) expect(errorOf(bytes)).toBe(`invalid_utf8@${start.length}`);
      }),
    );
    expect(errorOf(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))).toBe("invalid_utf8@1");
    expect(errorOf(Buffer.from([0x22, 0xc0, 0xaf, 0x22]))).toBe("invalid_utf8@1");
    expect(errorOf(Buffer.from([0x22, 0xe2, 0x82]))).toBe("invalid_utf8@1");
  });

  test("an explanation quotes nothing from the document", () => {
    expect(explain({ kind: "duplicate_key", offset: 7 })).toBe(
      "an object holds the same member name twice; send each name once (byte 7)",
    );
  });
});

describe("observation", () => {
  test("a wanted value is found at its bytes, with dots and slashes in names", () => {
    const source = Buffer.from(
      '{"id": 7, "params":{"_meta":{"a.b/c":[1, 2]},"name":"x\\u00e9"},"method":"t/c","deep":{"id":1}}',
    );
    const result = scan(source, message);
    if (!result.ok) throw new Error(explain(result.error));
    const [jsonrpc, id, method, params, name, meta] = result.values;
    expect(jsonrpc).toBeUndefined();
    expect(value(source, id)).toBe(7);
    expect(text(source, method)).toBe("t/c");
    expect(params).toMatchObject({ kind: "object", count: 2 });
    expect(text(source, name)).toBe("xé");
    expect(meta).toMatchObject({ kind: "array", count: 2 });
    expect(value(source, meta)).toEqual([1, 2]);
    expect(text(source, id)).toBeUndefined();
  });

  test("every range parses to what JSON.parse gives", () => {
    const names = fc.constantFrom("a", "b", "c", "ключ", '"q"');
    const json = fc.dictionary(names, fc.oneof(fc.jsonValue(), fc.dictionary(names, fc.jsonValue())));
    const plan = compile([["a"], ["b", "a"], ["c", "b"], { path: ["b"], items: true }], []);
    fc.assert(
      fc.property(json, (source) => {
        const bytes = Buffer.from(JSON.stringify(source, null, 1));
        const result = scan(bytes, plan);
        fc.pre(result.ok || result.error.kind !== "ambiguous_key");
        if (!result.ok) throw new Error(explain(result.error));
        const parsed = JSON.parse(bytes.toString());
        const own = (from: unknown, name: string) =>
          typeof from === "object" && from !== null && !Array.isArray(from) && Object.hasOwn(from, name)
            ? (from as Record<string, unknown>)[name]
            : undefined;
        const expected = [own(parsed, "a"), own(own(parsed, "b"), "a"), own(own(parsed, "c"), "b"), own(parsed, "b")];
        expect(result.values.map((range) => value(bytes, range))).toEqual(expected);
        const [items, b] = [result.values[3]?.items, own(parsed, "b")];
        if (items === undefined) expect(typeof b !== "object" || b === null).toBe(true);
        else expect(items.map((item) => value(bytes, item))).toEqual(Object.values(b as object));
      }),
      { numRuns: 500 },
    );
  });

  test("a batch is an array with its count, and its elements can be had", () => {
    const bytes = Buffer.from('[{"method":"a"}, {"method":"b\\n","id":1},3,{"id":{"method":"no"}},{"method":1}]');
    const result = scan(bytes, compile([{ path: [], items: true, itemName: "method" }]));
    if (!result.ok) throw new Error(explain(result.error));
    expect(result.root).toMatchObject({ kind: "array", count: 5 });
    expect(result.root.items?.map((item) => item.name)).toEqual(["a", "b\n", undefined, undefined, undefined]);
  });

  test("members of an object are listed under their own names", () => {
    const bytes = Buffer.from('{"params":{"_meta":{"x/y":"1","tr\\u0061ce":null}}}');
    const result = scan(bytes, compile([{ path: ["params", "_meta"], items: true }]));
    if (!result.ok) throw new Error(explain(result.error));
    expect(result.values[0]?.items).toMatchObject([
      { name: "x/y", kind: "string" },
      { name: "trace", kind: "null" },
    ]);
  });

  test("a path that is wanted twice is a mistake of the caller", () => {
    expect(() => compile([["a"], { path: ["a"], items: true }])).toThrow("is wanted twice; name it once");
  });
});

describe("cutElements", () => {
  test("what is left is the original filtered, and every byte outside the cut is kept", () => {
    const element = fc.record({ name: fc.string(), rest: fc.jsonValue() });
    const list = fc.array(fc.tuple(element, fc.boolean(), padding, padding), { maxLength: 8 });
    const plan = compile([{ path: ["result", "tools"], items: true, itemName: "name" }]);
    fc.assert(
      fc.property(list, padding, (elements, inner) => {
        const parts = elements.map(([json, , before, after]) => before + JSON.stringify(json) + after);
        const bytes = Buffer.from(`{"result":{"tools" : [${inner}${parts.join(",")}] ,"z":1e0}}`);
        const result = scan(bytes, plan);
        if (!result.ok) throw new Error(explain(result.error));
        const tools = result.values[0]!;
        expect(tools.items?.map((item) => item.name)).toEqual(elements.map(([json]) => json.name));
        const keep = elements.map(([, kept]) => kept);
        const cut = cutElements(bytes, tools, keep);
        const kept = JSON.parse(bytes.toString()).result.tools.filter((_: unknown, i: number) => keep[i]);
        expect(JSON.parse(cut.toString())).toEqual({ result: { tools: kept, z: 1 } });
        expect(cut.toString()).toMatch(/^\{"result":\{"tools" : \[.*\] ,"z":1e0\}\}$/s);
        if (keep.every(Boolean)) expect(cut.equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [[true, false, false], "[ 1 ]"],
    [[false, true, false], "[ 2 ]"],
    [[false, false, true], "[ 3 ]"],
    [[true, false, true], "[ 1 ,\n3 ]"],
    [[false, true, true], "[ 2 ,\n3 ]"],
    [[false, false, false], "[  ]"],
  ])("keep %j", (keep, expected) => {
    const bytes = Buffer.from("[ 1, 2 ,\n3 ]");
    const result = scan(bytes, compile([{ path: [], items: true }]));
    expect(result.ok && cutElements(bytes, result.root, keep).toString()).toBe(expected);
  });

  test("a decision that does not fit the array is refused", () => {
    const bytes = Buffer.from("[1]");
    const result = scan(bytes, compile([{ path: [], items: true }]));
    if (!result.ok) throw new Error(explain(result.error));
    expect(() => cutElements(bytes, result.root, [])).toThrow("the array has 1 elements but keep has 0");
  });
});
