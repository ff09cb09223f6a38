import { describe, expect, it } from "vitest";
import { FieldPath, FieldPathProblem } from "./field-path.ts";

const refusalOf = (text: string): FieldPathProblem => {
  try {
    void new FieldPath(text);
  } catch (error) {
    if (error instanceof FieldPathProblem) return error;
    throw error;
  }
  throw new Error(`${text} was taken`);
};

describe("a path (RFC 9535)", () => {
  const document = {
    method: "tools/call",
    params: { name: "search", message: { parts: [{ kind: "text" }, { kind: "data", n: 2 }] } },
  };

  it.each([
    ["$.method", "tools/call"],
    ["$['params']['name']", "search"],
    ["$.params.message.parts[0].kind", "text"],
    ["$.params.message.parts[-1].n", 2],
    ["$.params.message.parts[*].kind", ["text", "data"]],
    ["$.params.message.parts[?@.kind=='data'].n", [2]],
    ["$..kind", ["text", "data"]],
    ["$.params.message.parts[?length(@.kind)==4].kind", ["text", "data"]],
    ["$.nothing", undefined],
    ["$.params.nothing[*]", undefined],
    ["$.constructor", undefined],
    ["$.params.message.parts.length", undefined],
    ["$.params.name[0]", undefined],
  ])("%s gives what is there", (text, value) => {
    expect(new FieldPath(text).in(document)).toEqual(value);
  });

  it("meets members by their own names alone, whatever these mean elsewhere", () => {
    const hostile: unknown = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"name":"c"}}');
    expect(new FieldPath("$.__proto__.isAdmin").in(hostile)).toBe(true);
    expect(new FieldPath("$.isAdmin").in(hostile)).toBeUndefined();
    expect(new FieldPath("$.constructor.name").in(hostile)).toBe("c");
  });

  it.each([
    ["params.name", "did you mean $.params.name?", 0],
    ["#[payload.params.name]", "did you mean $.params.name?", 0],
    ["$.a[", "unclosed bracketed selection", 3],
    ["$.a b", "expected", 4],
    ["$[99999999999999999]", "index out of range", 2],
    ["$..[?match(@.a, '(a+)+$')]", "patterns are not available", 5],
    ["$..[?search(@.a, 'x')]", "patterns are not available", 5],
    ["$..a..b", "'..' more than once", 0],
    ["$..[?count(@..a) > 1]", "'..' more than once", 0],
    ["$.a[?count($.b[*]) > 1]", "'..' more than once", 0],
    ["$[*,*,*][*,*]", "more than 4 places", 0],
    ["$[?@[?@[?@.a]]]", "more than 2 filters", 0],
  ])("that is none, or could take long, is refused with place and reason: %s", (text, reason, offset) => {
    const { message, offset: at } = refusalOf(text);
    expect(message).toContain(reason);
    expect(at).toBe(offset);
  });

  it("that looks everywhere gives up documents of many values, and of any depth", () => {
    const wide = Array.from({ length: 2_001 }, () => 1);
    let deep: unknown = 1;
    for (let depth = 0; depth < 10_000; depth++) deep = [deep];
    for (const path of ["$..a", "$[*]"]) expect(() => new FieldPath(path).in(wide)).toThrow(RangeError);
    expect(() => new FieldPath("$..a").in(deep)).toThrow();
    expect(new FieldPath("$[2000]").in(wide)).toBe(1);
    expect(new FieldPath("$[0][0].a").in(deep)).toBeUndefined();
  });
});
