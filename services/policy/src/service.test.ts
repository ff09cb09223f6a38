import { describe, expect, it } from "vitest";
import {
  decodeJson,
  encodeHeadAndBody,
  encodeJson,
  type AdmissionAnswer,
  type ArgumentsAnswer,
  type FilterAnswer,
  type PolicySection,
} from "@sluice/contracts";
import { compileRules } from "@sluice/access";
import { handleAdmission, handleArguments, handleFilter, type Deps } from "./service.ts";

const rules: PolicySection = {
  version: 5,
  mcpEnabled: true,
  hideDenied: false,
  accessRules: [
    { agentPattern: "sentinel-*", allowedTools: ["read_*"], deniedTools: ["read_secret"] },
    { agentPattern: "*", when: "args.path.startsWith('/tmp/')", allowedTools: ["by-path"], deniedTools: [] },
    { agentPattern: "*", when: "'s1' in token.scopes", allowedTools: ["by-scope"], deniedTools: [] },
    { agentPattern: "*", mode: "shadow", allowedTools: [], deniedTools: ["read_later"] },
    { agentPattern: "*", when: "args.account == 9007199254740993", allowedTools: [], deniedTools: ["read_account"] },
  ],
};

function world() {
  const replies: { subject: string; answer: unknown }[] = [];
  const ignored: string[] = [];
  const counted: (boolean | string)[] = [];
  const rulebook = compileRules(new Map([["acme", rules]]));
  const deps: Deps = {
    rulebook: () => rulebook,
    reply: (subject, payload) => void replies.push({ subject, answer: decodeJson(payload) }),
    ignored: (reason) => void ignored.push(reason),
    counted: (_tenant, { ok, shadow }) => void counted.push(shadow === undefined ? ok : shadow.decision),
  };
  return { deps, replies, ignored, counted };
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

  it("gives a lease only where no condition was asked and no rule in shadow mode would decide otherwise", () => {
    const { deps, replies, counted } = world();
    const calls = ["read_a", "by-path", "by-scope", "read_later"].map((name) => ({ ...call(name), scopes: ["s1"] }));
    handleAdmission(deps, message({ from: "i1", calls }, "box"));
    const { verdicts } = replies[0]?.answer as AdmissionAnswer & { by: "policy" };
    expect(verdicts).toMatchObject([
      { ok: true, leaseMs: 1_000 },
      { ok: true, needsArguments: true },
      { ok: true, isConditional: true },
      { ok: true, shadow: { decision: "deny", rule: "accessRules[3].deniedTools[0]" } },
    ]);
    expect(verdicts.map((verdict) => "leaseMs" in verdict)).toEqual([true, false, false, false]);
    expect(counted).toEqual([true, true, "deny"]);
  });

  it("does not ask for arguments where the rest of an answer is asked for: they are gone", () => {
    const { deps, replies } = world();
    const resumed = { ...call(undefined, "GET"), resumes: { method: "tools/call", target: "by-path" } };
    handleAdmission(deps, message({ from: "i1", calls: [resumed] }, "box"));
    const { verdicts } = replies[0]?.answer as AdmissionAnswer & { by: "policy" };
    expect(verdicts).toEqual([{ ok: true, rule: "accessRules[1].allowedTools[0]", isConditional: true }]);
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

describe("a question about arguments", () => {
  const question = (args: string, about: unknown = call("by-path")) =>
    message(encodeHeadAndBody({ call: about }, Buffer.from(args)), "box");

  it("is answered with a verdict that is final", () => {
    const { deps, replies, counted } = world();
    for (const args of ['{"path":"/tmp/x"}', '{"path":"/x"}', "{}", "null", "[]"])
      handleArguments(deps, question(args));
    const answers = replies.map(({ answer }) => answer as ArgumentsAnswer);
    expect(answers.map(({ version, verdict }) => [version, verdict.ok, verdict.needsArguments])).toEqual(
      [true, false, false, false, false].map((ok) => [5, ok, undefined]),
    );
    expect(counted).toEqual([true, false, false, false, false]);
  });

  it("denies where a denial reads a number that a double cannot hold", () => {
    const { deps, counted } = world();
    for (const account of ["1", "9007199254740993", "9007199254740992.5"])
      handleArguments(deps, question(`{"account":${account}}`, call("read_account")));
    expect(counted).toEqual([true, false, false]);
  });

  it("is left unanswered where it is none", () => {
    const { deps, replies, ignored } = world();
    for (const bad of [question("{"), question(""), question("{}", null), question("{}", {}), message("x", "box")])
      handleArguments(deps, bad);
    handleArguments(deps, { ...question("{}"), reply: undefined } as never);
    expect(replies).toEqual([]);
    expect(ignored).toHaveLength(6);
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
