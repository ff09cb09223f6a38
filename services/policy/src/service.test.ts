import { describe, expect, it } from "vitest";
import { decodeJson, encodeJson, type AdmissionAnswer, type FilterAnswer, type PolicySection } from "@sluice/contracts";
import { compileRules } from "@sluice/access";
import { handleAdmission, handleFilter, type Deps } from "./service.ts";

const rules: PolicySection = {
  version: 5,
  mcpEnabled: true,
  hideDenied: false,
  accessRules: [{ agentPattern: "sentinel-*", allowedTools: ["read_*"], deniedTools: ["read_secret"] }],
};

function world() {
  const replies: { subject: string; answer: unknown }[] = [];
  const ignored: string[] = [];
  const rulebook = compileRules(new Map([["acme", rules]]));
  const deps: Deps = {
    rulebook: () => rulebook,
    reply: (subject, payload) => void replies.push({ subject, answer: decodeJson(payload) }),
    ignored: (reason) => void ignored.push(reason),
    counted: () => {},
  };
  return { deps, replies, ignored };
}

const call = (target?: string, method = "tools/call") => ({
  tenant: "acme",
  agent: { id: "sentinel-1" },
  protocol: "mcp",
  server: "main",
  method,
  target,
});
const message = (body: unknown, reply?: string) => ({
  subject: "gw.admit.v1.mcp.policy.limit.-",
  data: body instanceof Uint8Array ? body : encodeJson(body),
  ...(reply !== undefined && { reply }),
});

describe("admission", () => {
  it("answers once with a verdict per call, in the order asked", () => {
    const { deps, replies } = world();
    handleAdmission(
      deps,
      message(
        { from: "i1", calls: [call("read_a"), call("write"), call(undefined, "ping"), call("read_secret")] },
        "box",
      ),
    );
    expect(replies).toHaveLength(1);
    expect(replies[0]?.subject).toBe("box");
    const answer = replies[0]?.answer as AdmissionAnswer & { by: "policy" };
    expect(answer).toMatchObject({ by: "policy", version: 5 });
    expect(answer.verdicts.map(({ ok, rule }) => [ok, rule])).toEqual([
      [true, "accessRules[0].allowedTools[0]"],
      [false, "default-deny"],
      [true, "settings.mcp_enabled"],
      [false, "accessRules[0].deniedTools[0]"],
    ]);
  });

  it("leaves unanswered what nobody waits for and what is no admission request", () => {
    const { deps, replies, ignored } = world();
    const good = { from: "i1", calls: [call("read_a")] };
    handleAdmission(deps, message(good));
    const bad = [
      {},
      null,
      [],
      { calls: [] },
      { calls: [null] },
      { calls: [{ ...call("x"), agent: null }] },
      { calls: [{ ...call(), target: 1 }] },
    ];
    const large = { calls: Array.from({ length: 65 }, () => call("read_a")) };
    for (const body of [...bad, large, Buffer.from("{"), new Uint8Array()]) handleAdmission(deps, message(body, "box"));
    expect(replies).toEqual([]);
    expect(ignored).toHaveLength(11);
  });
});

describe("filter", () => {
  it("P5: keeps in a list exactly the tools that may be called", () => {
    const { deps, replies } = world();
    const names = ["read_a", "write", "read_secret", "READ_A", "read_\u200b", ""];
    const question = {
      tenant: "acme",
      agent: { id: "sentinel-1" },
      protocol: "mcp",
      server: "s",
      kind: "tools",
      names,
    };
    handleFilter(deps, message(question, "box"));
    handleAdmission(deps, message({ from: "i1", calls: names.map((name) => call(name)) }, "box"));
    const { keep } = replies[0]?.answer as FilterAnswer;
    expect(keep).toEqual([true, false, false, false, true, false]);
    expect((replies[1]?.answer as AdmissionAnswer).verdicts.map((verdict) => verdict?.ok)).toEqual(keep);
  });

  it("leaves a malformed question unanswered", () => {
    const { deps, replies, ignored } = world();
    const asked = { tenant: "acme", agent: { id: "a" } };
    for (const body of [
      {},
      { ...asked, kind: "tools", names: [1] },
      { ...asked, kind: "tools" },
      { ...asked, kind: "secrets", names: ["a"] },
    ])
      handleFilter(deps, message(body, "box"));
    expect(replies).toEqual([]);
    expect(ignored).toHaveLength(4);
  });
});
