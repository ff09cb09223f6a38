import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ScriptedAgent } from "./a2a-scripted-agent.ts";
import { endBy, headersV10 as headers, rpc, saying, stateIn, taskIn, textsIn, watchers } from "./a2a-stream-wire.ts";
import { listen, send, type EventReader } from "./wire.ts";

const stack = new AsyncDisposableStack();
const names = ["nats", "alone", "both", "deaf", "told", "own", "other"] as const;
type Name = (typeof names)[number];
const agents = {} as Record<Name, ScriptedAgent>;
let house: TestHouse;

beforeAll(async () => {
  for (const name of names) agents[name] = stack.use(await ScriptedAgent.start(`task-of-${name}`));
  const endpoints = names.map((name) => ({ name, url: agents[name].upstream.url, version: "1.0", binding: "JSONRPC" }));
  house = stack.use(
    await startTestHouse({
      tenants: { acme: { agents: ["a-1", "b-1"], accessRules: [], a2a: { endpoints } } },
      replicas: { ingress: 2, egress: 2 },
    }),
  );
});
afterEach(async () => {
  while (house.house.of("egress").length < 2) await house.house.add("egress");
});
afterAll(() => stack.disposeAsync());

const urlOf = (name: Name, ingress = 0) => `${house.house.of("ingress")[ingress]?.url}/a2a/${name}`;
const sendTo = (name: Name, who = "a-1") =>
  listen({ url: urlOf(name), key: house.key(who), headers, body: rpc("SendStreamingMessage", saying("go")) });
const subscribeTo = (name: Name, more = {}, ingress = 1) => {
  const body = rpc("SubscribeToTask", { id: `task-of-${name}` });
  return listen({ url: urlOf(name, ingress), key: house.key("a-1"), headers: { ...headers, ...more }, body });
};
const texts = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
const say = (agent: ScriptedAgent, from: number, to: number) => texts(from, to).forEach((text) => agent.say(text));

async function end(agent: ScriptedAgent, readers: readonly EventReader[]): Promise<void> {
  agent.become("TASK_STATE_COMPLETED");
  for (const reader of readers) {
    expect(await reader.finished(40_000)).toBe("end");
    expect(stateIn(reader)).toBe("TASK_STATE_COMPLETED");
  }
}

async function kill(wanted: "watchers" | "all"): Promise<void> {
  const replicas = wanted === "all" ? [...house.house.of("egress")] : await watchers(house);
  for (const replica of replicas) endBy("SIGKILL", replica);
}

describe("a watch", () => {
  it("A21: loses and doubles nothing over a kill -9 of NATS", async () => {
    const reader = await sendTo("nats");
    await reader.count(1);
    const joined = await subscribeTo("nats");
    say(agents.nats, 1, 100);
    await joined.count(50);
    await house.house.parts.nats.kill("SIGKILL");
    say(agents.nats, 101, 200);
    await house.house.parts.nats.restart();
    say(agents.nats, 201, 300);
    await end(agents.nats, [reader, joined]);
    for (const each of [reader, joined]) expect(textsIn(each)).toEqual(texts(1, 300));
  }, 60_000);

  it("whose replica died while nobody read is begun anew by the next who asks", async () => {
    const agent = agents.alone;
    const reader = await sendTo("alone");
    say(agent, 1, 3);
    await reader.count(4);
    reader.leave();
    await kill("watchers");
    const back = await subscribeTo("alone");
    await back.count(1);
    say(agent, 4, 6);
    await end(agent, [back]);
    expect(textsIn(back)).toEqual(texts(1, 6));
    expect(agent.calls.get("SubscribeToTask")).toBe(1);
  }, 40_000);

  it("whose replica died together with all others goes on for its readers when there is one again", async () => {
    const agent = agents.both;
    const reader = await sendTo("both");
    await reader.count(1);
    const joined = await subscribeTo("both");
    say(agent, 1, 3);
    await joined.count(4);
    await kill("all");
    await until("nobody left", () => house.house.of("egress").every(({ process }) => !process.running));
    agent.texts.push("4");
    await house.house.add("egress");
    for (const each of [reader, joined]) await until("the task as it is", () => textsIn(each).includes("4"), 40_000);
    say(agent, 5, 6);
    await end(agent, [reader, joined]);
    for (const each of [reader, joined]) expect(textsIn(each)).toEqual(texts(1, 6));
    expect(agent.calls.get("SubscribeToTask")).toBe(1);
  }, 90_000);

  it("of an agent that cannot be subscribed to asks for the task instead, for all who read", async () => {
    const agent = agents.deaf;
    const first = await sendTo("deaf");
    await first.count(1);
    first.leave();
    agent.isDeaf = true;
    await kill("watchers");
    const readers = [await subscribeTo("deaf"), await subscribeTo("deaf", {}, 0)];
    for (const reader of readers) await reader.count(1);
    agent.texts.push("by and by");
    agent.state = "TASK_STATE_COMPLETED";
    for (const reader of readers) {
      expect(await reader.finished(10_000)).toBe("end");
      expect([textsIn(reader), stateIn(reader)]).toEqual([["by and by"], "TASK_STATE_COMPLETED"]);
    }
  }, 40_000);

  it("is in the audit trail event by event, once however many read, without content; every reader's call has its outcome", async () => {
    const agent = agents.told;
    const reader = await sendTo("told");
    await reader.count(1);
    const joined = await subscribeTo("told");
    await joined.count(1);
    say(agent, 1, 2);
    await end(agent, [reader, joined]);
    const task = taskIn(reader);
    const rows = await until("four events", async () => {
      const query = `select number, kind, "taskState", bytes from audit_stream_events where task = $1 order by number`;
      const found = await house.query<{ number: string; kind: string }>(query, [task]);
      return found.length >= 4 ? found : undefined;
    });
    expect(rows.map(({ number, kind }) => [Number(number), kind])).toEqual([
      [1, "task"],
      [2, "artifactUpdate"],
      [3, "artifactUpdate"],
      [4, "statusUpdate"],
    ]);
    const calls = await until("both outcomes", async () => {
      const found = await house.query(
        "select method, status, state, events from audit_calls where server = 'told' and state = 'done' order by method",
      );
      return found.length === 2 ? found : undefined;
    });
    expect(calls).toEqual([
      { method: "SendStreamingMessage", status: 200, state: "done", events: "4" },
      { method: "SubscribeToTask", status: 200, state: "done", events: null },
    ]);
  });
});

describe("Last-Event-ID", () => {
  it("A22: of another's stream, of another task's, of none or of an event that never was is no key to anything: the task as it is comes instead", async () => {
    const foreign = await sendTo("other", "b-1");
    await foreign.count(1);
    const own = await sendTo("own");
    await own.count(1);
    const never = own.events[0]?.id?.replace(/\d+$/, "9999") ?? "";
    const ids = [foreign.events[0]?.id ?? "", "i000000000000.0.1", "nonsense", never];
    say(agents.own, 1, 2);
    await own.count(3);
    const readers = await Promise.all(ids.map((id) => subscribeTo("own", { "last-event-id": id })));
    for (const reader of readers) {
      await reader.count(1);
      expect(taskIn(reader)).toBe("task-of-own");
    }
    const refused = await send({
      url: urlOf("other"),
      key: house.key("a-1"),
      headers: { ...headers, "last-event-id": ids[0] ?? "" },
      body: rpc("SubscribeToTask", { id: "task-of-other" }),
    });
    expect((JSON.parse(refused.body.toString()) as { error: { code: number } }).error.code).toBe(-32001);
    await end(agents.own, [own, ...readers]);
    for (const reader of readers) expect(textsIn(reader)).toEqual(texts(1, 2));
    foreign.leave();
  });
});
