import { describe, expect, it } from "vitest";
import { Captures, mostCapturedFrom, type Skipped } from "./captures.ts";

const path = "/mcp/tools/call";
const of = (jsonPath: string, body: string) =>
  new Captures([{ jsonPath, as: "it" }]).of({ path, body: Buffer.from(body) });

describe("captured fields", () => {
  it("keep objects, and numbers that JavaScript would change as their digits", () => {
    expect(of("$.a", '{"a":{"b":[1,null,"x"],"n":12345678901234567890,"d":0.1}}')).toEqual({
      it: { b: [1, null, "x"], n: "12345678901234567890", d: 0.1 },
    });
    expect(of("$.a", '{"a":1e400}')).toEqual({ it: "1e400" });
  });

  it("are cut at 4 KiB each, with the size of the whole, between characters", () => {
    const { it: cut } = of("$.a", JSON.stringify({ a: "é".repeat(4_000) })) as { it: { $cut: string; $bytes: number } };
    expect(cut.$bytes).toBe(8_000);
    expect(cut.$cut).toMatch(/^é+$/);
    expect(Buffer.byteLength(cut.$cut)).toBeLessThanOrEqual(4_096);
    expect(of("$.a", JSON.stringify({ a: Array.from({ length: 3_000 }, (_, n) => n) }))).toMatchObject({
      it: { $cut: expect.stringMatching(/^\[0,1,2,/) as string, $bytes: expect.any(Number) as number },
    });
  });

  it("take at most 16 KiB together, escapes counted", () => {
    const names = Array.from({ length: 32 }, (_, index) => `f${index}`);
    const captures = new Captures(names.map((as) => ({ jsonPath: `$.${as}`, as })));
    for (const text of ["x".repeat(4_000), "\u0001".repeat(1_000), '"'.repeat(3_000)]) {
      const body = Buffer.from(JSON.stringify(Object.fromEntries(names.map((as) => [as, text]))));
      const captured = captures.of({ path, body });
      expect(Object.keys(captured ?? {})).toEqual(names);
      expect(Buffer.byteLength(JSON.stringify(captured))).toBeLessThan(20 * 1024);
    }
  });

  it("take only so much work of one message, whatever is asked of it", () => {
    const asked = (jsonPath: string, body: string) =>
      new Captures(Array.from({ length: 32 }, (_, n) => ({ jsonPath, as: `f${n}` }))).of({
        ...{ path, body: Buffer.from(body) },
      });
    const few = JSON.stringify({ a: Array.from({ length: 20 }, () => ({ b: 1, c: 2 })) });
    const many = JSON.stringify({ a: Array.from({ length: 600 }, () => ({ b: 1, c: 2 })) });
    const filter = "$.a[?@.b==1 && @.c==2]";
    expect(Object.keys(asked(filter, few) ?? {})).toHaveLength(32);
    for (const captured of [asked(filter, many), asked("$", `[${"1,".repeat(90_000)}1]`)]) {
      expect(Object.keys(captured ?? {}).length).toBeLessThan(6);
      expect(captured).toMatchObject({ f0: expect.anything() as unknown, $skipped: "too_many_values" });
    }
  });

  it("have nothing in them that databases refuse", () => {
    expect(of("$.a", '{"a":{"x\\u0000":"\\u0000 \\ud800"}}')).toEqual({ it: { "x\ufffd": "\ufffd \ufffd" } });
  });

  it("hold own members alone, whatever they are called", () => {
    const captured = of("$.a", '{"a":{"__proto__":{"isAdmin":true}}}') as { it: object };
    expect(Object.keys(captured.it)).toEqual(["__proto__"]);
    expect((captured.it as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it("are of their path alone, by whichever revision's name it is called", () => {
    const onPath = "/a2a/tasks/send";
    const captures = new Captures([
      { jsonPath: "$.method", as: "sent", onPath },
      { jsonPath: "$.method", as: "tool", onPath: path },
    ]);
    const body = Buffer.from('{"method":"m"}');
    expect(captures.of({ path: "/a2a/SendMessage", body })).toEqual({ sent: "m" });
    expect(captures.of({ path: "/a2a/message/send", body })).toEqual({ sent: "m" });
    expect(captures.of({ path, body })).toEqual({ tool: "m" });
    expect(captures.of({ path: "/mcp/tools/list", body })).toBeUndefined();
  });

  it("say why nothing was looked for", () => {
    const seen: Skipped[] = [];
    const fields = [
      { header: "X-Team", as: "team" },
      { jsonPath: "$..a", as: "it" },
    ];
    const captures = new Captures(fields, (reason) => seen.push(reason));
    const header = (name: string) => (name === "x-team" ? "blue" : undefined);
    const bodies = [
      undefined,
      Buffer.alloc(mostCapturedFrom + 1, " "),
      Buffer.from("<html>"),
      Buffer.from(`[${"1,".repeat(6_000)}1]`),
      Buffer.alloc(0),
    ];
    const reasons = ["too_large", "too_large", "not_json", "too_many_values"];
    expect(bodies.map((body) => captures.of({ path, body, header }))).toEqual([
      ...reasons.map(($skipped) => ({ team: "blue", $skipped })),
      { team: "blue" },
    ]);
    expect(seen).toEqual(reasons);
  });
});
