import { describe, expect, it } from "vitest";
import { fits, innerOf, readState, sessionOf, writeState, type SessionState } from "./session-state.ts";

const about = {
  capabilities: { tools: { listChanged: true }, logging: {}, experimental: { huge: "x".repeat(50_000) } },
  serverInfo: { name: "n" },
  instructions: "x".repeat(50_000),
};
const state: SessionState = {
  client: { info: { name: "c" }, capabilities: {} },
  version: "2025-11-25",
  inner: { one: innerOf("one", { id: "s", version: "2025-06-18", about }), two: { version: "2025-11-25", can: [] } },
  subscriptions: { one: { "file:///a": "one+file:///a" } },
};

describe("what is kept of a session", () => {
  it("is read as it was written, with room for every upstream however much it says of itself", () => {
    const text = writeState(state);
    expect(text.length).toBeLessThan(1_000);
    expect(readState(text)).toEqual(state);
    const one = state.inner["one"];
    expect(one && sessionOf(one)).toEqual({
      id: "s",
      version: "2025-06-18",
      about: { capabilities: { tools: {}, logging: {} }, serverInfo: {} },
    });
  });

  it("is refused where the client or an upstream leaves no room", () => {
    const large = { ...state, client: { ...state.client, info: { name: "x".repeat(30_000) } } };
    expect(fits(state)).toBe(true);
    expect(fits(large)).toBe(false);
    expect(() => writeState(large)).toThrow(expect.objectContaining({ kind: "invalid_request" }));
    expect(() => innerOf("one", { id: "x".repeat(1_025), version: "", about })).toThrow(/'one'/);
  });

  it.each([
    "",
    "bm8",
    "e30",
    Buffer.from("[]").toString("base64url"),
    Buffer.from('{"version":"1"}').toString("base64url"),
  ])("is not taken from what was not written here: %s", (text) => {
    expect(() => readState(text)).toThrow(expect.objectContaining({ kind: "internal" }));
  });
});
