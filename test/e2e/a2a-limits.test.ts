import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { rpcBody, sendBody, speaking, tenantWith } from "./a2a.ts";
import { send } from "./http.ts";

const hour = 3_600;
const replicas = 2;
let agent: ReferenceAgent;
let house: TestHouse;

beforeAll(async () => {
  agent = await startAgent("1.0");
  const limits = [
    { path: "/a2a/tasks/send", server: "one", maxRequests: 20, windowSeconds: hour },
    { path: "/a2a/message/stream", server: "two", maxConcurrent: 2 },
    { path: "/a2a/GetTask", per: "tenant", server: "three", maxRequests: 2, windowSeconds: hour },
  ];
  house = await startTestHouse({
    tenants: { acme: tenantWith({ one: { agent }, two: { agent }, three: { agent } }, { limits }) },
    replicas: { ingress: replicas, "rate-limit": replicas },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await agent?.[Symbol.asyncDispose]();
});

const at = (path: string, replica = 0) => `${house.house.of("ingress")[replica]?.url}/a2a/${path}`;
const by = (key: string, version?: string) =>
  speaking(house.key(key), { accept: "*/*", ...(version !== undefined && { "a2a-version": version }) });

describe("limits of A2A", () => {
  it("A28: of 100 parallel sends in every dialect over several replicas no more than the limit pass, the rest get 429 with Retry-After", async () => {
    const rest = JSON.stringify({ message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "echo" }] } });
    const sends = [
      (replica: number) => send(at("one", replica), { headers: by("a-1", "1.0"), body: sendBody("1.0", "echo") }),
      (replica: number) => send(at("one", replica), { headers: by("a-1"), body: sendBody("0.3", "echo") }),
      (replica: number) => send(at("one", replica), { headers: by("a-1", "0.1"), body: sendBody("0.1", "echo") }),
      (replica: number) => send(at("one/message:send", replica), { headers: by("a-1", "1.0"), body: rest }),
    ];
    const before = agent.ledger.exchanges.length;
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => sends[index % sends.length]?.(index % replicas)),
    );
    const passed = answers.filter((answer) => answer?.status === 200);
    const refused = answers.filter((answer) => answer?.status === 429);
    expect(passed.length + refused.length).toBe(100);
    expect(passed.length).toBe(20);
    expect(agent.ledger.exchanges.length - before).toBe(20);
    for (const answer of refused) expect(Number(answer?.headers["retry-after"])).toBeGreaterThan(0);
    const other = await send(at("one"), { headers: by("b-1", "1.0"), body: sendBody("1.0", "echo") });
    expect(other.status).toBe(200);
  });

  it("bound the streams of an agent that are open at once, whatever they are called, until one ends", async () => {
    const stream = (version?: "1.0") => {
      const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "long" }] };
      const old = { ...message, kind: "message", role: "user", parts: [{ kind: "text", text: "long" }] };
      const body =
        version === "1.0" ? rpcBody("SendStreamingMessage", { message }) : rpcBody("message/stream", { message: old });
      return fetch(at("two"), { method: "POST", headers: by("a-1", version) as Record<string, string>, body });
    };
    const open = [await stream("1.0"), await stream()];
    expect(open.map(({ status }) => status)).toEqual([200, 200]);
    const third = await stream();
    expect([third.status, third.headers.get("retry-after")]).toEqual([429, "1"]);
    await third.body?.cancel();
    await until("both streams wait", () => agent.gates.waiting.length >= 2);
    for (const task of agent.gates.waiting) agent.gates.release({ task });
    for (const { body } of open) await new Response(body).text();
    await until("a place is free", async () => {
      const again = await stream("1.0");
      await again.body?.cancel();
      return again.status === 200;
    });
  });

  it("do not count calls whose task is unknown", async () => {
    const get = (key: string) =>
      send(at("three"), { headers: by(key, "1.0"), body: rpcBody("GetTask", { id: "none" }) });
    for (const key of ["a-1", "b-1", "a-1", "b-1"]) {
      const answer = await get(key);
      expect(answer.text).toContain("-32001");
    }
  });
});
