import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compile,
  scan,
  scanAsync,
  text,
  value,
  type Limits,
  type Plan,
  type Scan,
  type SliceOptions,
} from "./index.ts";

const message = compile([["id"], ["method"], ["params", "name"], ["params", "uri"], ["params", "_meta"], ["result"]]);

function errorOf(source: string, plan: Plan = message, limits?: Partial<Limits>): string {
  const result = scan(Buffer.from(source), plan, limits);
  return result.ok ? "none" : result.error.kind;
}

async function sliced(bytes: Buffer, options: SliceOptions = {}): Promise<{ result: Scan; pauses: number }> {
  let pauses = 0;
  const pause = () => Promise.resolve(pauses++);
  return { result: await scanAsync(bytes, message, { ...options, pause }), pauses };
}

describe("A9: a name twice in one object is refused", () => {
  test.each([
    '{"method":"tools/list","method":"tools/call"}',
    '{"method":"tools/call","method":"tools/list"}',
    '{"method":"tools/list","params":{},"\\u006dethod":"tools/call"}',
    '{"m\\u0065thod":"tools/call","method":"tools/list"}',
    '{"params":{"name":"a","name":"b"}}',
    '{"params":{"name":"b","name":"a"}}',
    '{"params":{"na\\u006de":"b","name":"a"}}',
    '{"params":{"name":"b","na\\u006De":"a"}}',
    '{"params":{"name":"a"},"params":{"name":"b"}}',
    '{"params":{"name":"b"},"\\u0070arams":{"name":"a"}}',
    '{"params":{"arguments":[{"a":{"b/c":1,"b\\/c":2}}]}}',
    '{"result":{"x":{"":1,"":2}}}',
    '{"é":1,"\\u00e9":2}',
    '{"😀":1,"\\ud83d\\ude00":2}',
    '{"__proto__":1,"__proto__":2}',
  ])("A9: %s", (source) => {
    expect(errorOf(source)).toBe("duplicate_key");
  });

  test("A9: duplicates are found in objects of any size, wherever the two stand and however they are spelled", () => {
    const spell = (name: string, escaped: boolean) =>
      escaped
        ? `"\\u${name.charCodeAt(0).toString(16).padStart(4, "0")}${JSON.stringify(name.slice(1)).slice(1)}`
        : JSON.stringify(name);
    const unique = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 90 }), { minLength: 2, maxLength: 80 });
    fc.assert(
      fc.property(
        unique,
        fc.nat(),
        fc.nat(),
        fc.array(fc.boolean(), { minLength: 81, maxLength: 81 }),
        (names, from, to, escapes) => {
          const write = (list: string[]) =>
            Buffer.from(`{${list.map((name, i) => `${spell(name, escapes[i]!)}:{"a":1}`).join()}}`);
          const open = compile([], []);
          expect(scan(write(names), open).ok).toBe(true);
          const twice = names.toSpliced(to % (names.length + 1), 0, names[from % names.length]!);
          expect(scan(write(twice), open)).toMatchObject({ ok: false, error: { kind: "duplicate_key" } });
        },
      ),
      { numRuns: 300 },
    );
  });

  test("A9: the same name in different objects is no duplicate", () => {
    expect(errorOf('{"id":1,"params":{"a":{"id":1},"b":{"id":2},"id":3},"x":[{"id":1},{"id":1}]}')).toBe("none");
  });
});

describe("a name that some reader takes for a protocol name is refused", () => {
  test.each([
    '{"method":"tools/list","Method":"tools/call"}',
    '{"METHOD":"tools/call"}',
    '{"params":{"Name":"x"}}',
    '{"params":{"_Meta":{}}}',
    '{"params":{"_meta":{"TraceParent":""}}}',
    '{"params":{"cur\\u017For":1}}',
    '{"params":{"\u0131d":1}}',
    '{"\u{ff4d}ethod":"full width"}',
    '{"me\u200bthod":"zero width"}',
    '{"method\\u0000":"cut by C"}',
    '{"\ufeffid":1}',
    '{"result":{"toolſ":[]}}',
    '{"Result":{}}',
    '{"\\u004dethod":1}',
  ])("%s", (source) => {
    expect(errorOf(source)).toBe("ambiguous_key");
  });

  test.each([
    '{"params":{"arguments":{"Name":1,"NAME":2,"Method":3}}}',
    '{"methods":1,"meth":2,"ids":3,"наме":4}',
    '{"params":{"METHOD":1}}',
    '{"\\u006dethod":"exact after decoding"}',
  ])("%s passes: nobody reads it as another name", (source) => {
    expect(errorOf(source)).toBe("none");
  });

  test("every wanted name is guarded, and so is the name of items", () => {
    const plan = compile(
      [["a", "b"], { path: ["list"], items: true, itemName: "name" }],
      [{ path: ["x"], names: ["y"] }],
    );
    expect(errorOf('{"a":{"B":1}}', plan)).toBe("ambiguous_key");
    expect(errorOf('{"A":1}', plan)).toBe("ambiguous_key");
    expect(errorOf('{"x":{"Y":1}}', plan)).toBe("ambiguous_key");
    expect(errorOf('{"list":[{"name":"a","Name":"b"}]}', plan)).toBe("ambiguous_key");
    expect(errorOf('{"Method":1}', plan)).toBe("none");
  });
});

describe("A13: hostile sizes cost a bounded slice", () => {
  const slice = 256 * 1024;

  test("A13: a 4 MiB array is read in 16 slices", async () => {
    const bytes = Buffer.from(`[${"0,".repeat(2 * 1024 * 1024 - 1)}0]`);
    const { result, pauses } = await sliced(bytes);
    expect(result).toMatchObject({ ok: true, root: { kind: "array", count: 2 * 1024 * 1024 } });
    expect(pauses).toBe(Math.ceil(bytes.length / slice) - 1);
  });

  test("A13: a 4 MiB array whose elements are wanted is refused at the limit, without listing them", async () => {
    const bytes = Buffer.from(`[${"0,".repeat(2 * 1024 * 1024 - 1)}0]`);
    const plan = compile([{ path: [], items: true }]);
    expect(await scanAsync(bytes, plan)).toEqual({ ok: false, error: { kind: "too_many_items", offset: 200_001 } });
    expect(scan(bytes, plan, { maxItems: 3 })).toEqual({ ok: false, error: { kind: "too_many_items", offset: 7 } });
  });

  test.each(["[", '{"a":'])("A13: depth 10,000 of %s is refused at depth 129, whatever follows", (open) => {
    const bytes = Buffer.from(open.repeat(10_000));
    const offset = open.length * 128;
    expect(scan(bytes, message)).toEqual({ ok: false, error: { kind: "too_deep", offset } });
    expect(scan(Buffer.from("[".repeat(128) + "]".repeat(128)), message).ok).toBe(true);
  });

  test("A13: depth 10,000 is read without recursion where the limit allows it", () => {
    const bytes = Buffer.from('{"a":['.repeat(5_000) + "]}".repeat(5_000));
    expect(scan(bytes, message, { maxDepth: 10_000 }).ok).toBe(true);
    expect(errorOf("[1]")).toBe("none");
  });

  test.each([
    ["one string", `"${"x".repeat(4 * 1024 * 1024)}"`],
    ["one string of escapes", `"${"\\n".repeat(2 * 1024 * 1024)}"`],
    ["whitespace", `${" ".repeat(4 * 1024 * 1024)}1`],
    ["escaped pairs", `["${"\\ud83d\\ude00".repeat(350_000)}"]`],
  ])("A13: %s of 4 MiB pauses once per slice", async (_, source) => {
    const { result, pauses } = await sliced(Buffer.from(source));
    expect(result.ok).toBe(true);
    expect(pauses).toBe(Math.ceil(source.length / slice) - 1);
  });

  test("A13: 500,000 distinct names are read in slices, and one more that repeats is refused", async () => {
    const members = Array.from({ length: 500_000 }, (_, i) => `"${i}":0`).join();
    const { result, pauses } = await sliced(Buffer.from(`{${members}}`));
    expect(result).toMatchObject({ ok: true, root: { kind: "object", count: 500_000 } });
    expect(pauses).toBe(Math.ceil((members.length + 2) / slice) - 1);
    expect(errorOf(`{${members},"\\u0037":1}`)).toBe("duplicate_key");
  });

  test("A13: names that are slow to check shorten their slice", async () => {
    const members = Array.from({ length: 20_000 }, (_, i) => `"é${i}":0`).join();
    const { result, pauses } = await sliced(Buffer.from(`{${members}}`));
    expect(result.ok).toBe(true);
    expect(pauses).toBeGreaterThan(15);
  });

  test("A13: a large document gives way to the event loop", async () => {
    const order: string[] = [];
    setImmediate(() => order.push("other work"));
    await scanAsync(Buffer.from(`"${"x".repeat(1024 * 1024)}"`), message);
    order.push("scanned");
    expect(order).toEqual(["other work", "scanned"]);
  });

  test("A13: __proto__ and constructor pollute nothing", () => {
    const source =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"params":{"__proto__":{"polluted":1},"name":"n"}}';
    const bytes = Buffer.from(source);
    const plan = compile([
      ["__proto__"],
      ["constructor", "prototype"],
      ["params", "name"],
      ["toString"],
      { path: ["params"], items: true },
    ]);
    const result = scan(bytes, plan);
    if (!result.ok) throw new Error(result.error.kind);
    expect(value(bytes, result.values[0])).toEqual({ polluted: 1 });
    expect(value(bytes, result.values[1])).toEqual({ polluted: 1 });
    expect(text(bytes, result.values[2])).toBe("n");
    expect(result.values[3]).toBeUndefined();
    expect(result.values[4]?.items?.map((item) => item.name)).toEqual(["__proto__", "name"]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });
});
