import type { ServiceName } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectAs } from "./bus-spy.ts";
import { as, send, toolCall } from "./http.ts";

let house: TestHouse;
let upstream: FakeUpstream;
const stack = new AsyncDisposableStack();
const few = 20;
const many = 1_000;
const warm = 10;

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  const limitOf = (tool: string, maxRequests: number) => ({
    path: "/mcp/tools/call",
    tool,
    maxRequests,
    windowSeconds: 600,
  });
  const acme = {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["danger"] }],
    limits: [limitOf("few", few), limitOf("few-late", few), limitOf("many", many)],
  };
  house = stack.use(await startTestHouse({ tenants: { acme }, env: { ADMISSION_TIMEOUT_MS: "700" } }));
});
afterAll(() => stack.disposeAsync());

const call = async (tool: string) =>
  (await send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall(tool) })).status;

/** Stops a service's one replica for a time, as a long pause of its machine would. */
async function whilePaused(service: ServiceName, work: () => Promise<void>): Promise<void> {
  const pid = house.house.of(service)[0]?.process.pid;
  if (pid === undefined) throw new Error(`${service} does not run`);
  process.kill(pid, "SIGSTOP");
  try {
    await work();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

interface Forgery {
  readonly subject: string;
  /** Where it is sent: what the asker named, and what may stand behind it. */
  readonly ends: readonly string[];
  readonly answer: (count: number) => unknown;
}

/** Answers admission messages with the account of one service. */
async function forge(user: ServiceName, { subject, ends, answer }: Forgery): Promise<AsyncDisposable> {
  const nats = await connectAs(house, user);
  nats.subscribe(subject, {
    callback: (_error, { data, reply }) => {
      const { calls } = JSON.parse(Buffer.from(data).toString("utf8")) as { calls: unknown[] };
      for (const end of ends) nats.publish(`${reply}${end}`, JSON.stringify(answer(calls.length)));
    },
  });
  await nats.flush();
  return { [Symbol.asyncDispose]: () => nats.close() };
}

const yes = (version: number) => (count: number) => ({
  by: "policy",
  version,
  verdicts: Array.from({ length: count }, () => ({ ok: true, rule: "forged" })),
});
const reachedUpstream = (tool: string) => upstream.requests.some(({ message }) => message?.params?.["name"] === tool);

describe("a verdict counts", () => {
  it("A24: only from the service that was asked for it: no other service's account can speak in its place", async () => {
    const ends = ["", ".policy", ".rate-limit", ".nats"];
    await using _ = await forge("rate-limit", { subject: "gw.admit.v1.*.*.limit.*", ends, answer: yes(1_000) });
    await whilePaused("policy", async () => expect(await call("danger")).toBe(503));
    expect(await call("danger")).toBe(403);
    expect(reachedUpstream("danger")).toBe(false);
  });

  it("only under the configuration that ingress has or a newer one; an older one is asked about once more", async () => {
    const subject = "gw.admit.v1.*.policy.*.*";
    await whilePaused("policy", async () => {
      await using _ = await forge("policy", { subject, ends: [".policy"], answer: yes(-7) });
      expect(await call("danger")).toBe(503);
    });
    expect(reachedUpstream("danger")).toBe(false);
    let asked = 0;
    await whilePaused("policy", async () => {
      const answer = (count: number) => yes(asked++ === 0 ? -7 : 1_000)(count);
      await using _ = await forge("policy", { subject, ends: [".policy"], answer });
      expect(await call("behind-for-a-moment")).toBe(200);
    });
    expect(asked).toBe(2);
  });
});

describe("what rate-limit counted for calls that nobody admitted", () => {
  /** Calls until the limit refuses; what is given back may still be on its way. */
  const passUpTo = async (tool: string, limit: number) => {
    let passed = 0;
    await until("as many calls as the limit allows", async () => {
      while ((await call(tool)) === 200) passed++;
      return passed >= limit;
    });
    return passed;
  };
  const unavailable = (tool: string) => async () => {
    const statuses = await Promise.all(Array.from({ length: 10 }, () => call(tool)));
    expect(new Set(statuses)).toEqual(new Set([503]));
  };

  it("is given back while policy is away: the calls, and what was leased with them", async () => {
    await whilePaused("policy", unavailable("few"));
    expect(await passUpTo("few", few)).toBe(few);
    for (let index = 0; index < warm; index++) expect(await call("many")).toBe(200);
    let passed = warm;
    await whilePaused("policy", async () => {
      await until("what policy leased is over", async () => {
        const status = await call("many");
        if (status === 200) passed++;
        return status === 503;
      });
      await unavailable("many")();
    });
    expect(await passUpTo("many", many - passed)).toBe(many - passed);
  });

  it("is given back where it is rate-limit itself that answers too late", async () => {
    await whilePaused("rate-limit", unavailable("few-late"));
    expect(await passUpTo("few-late", few)).toBe(few);
  });
});
