import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScriptedAgent } from "./a2a-scripted-agent.ts";
import { headersV10 as headers, rpc, saying, stateIn, taskIn, textsIn } from "./a2a-stream-wire.ts";
import { MemoryWatch } from "./memory.ts";
import { answerOf, listen, open, type EventReader } from "./wire.ts";

const stack = new AsyncDisposableStack();
const names = ["broken", "deaf", "bad", "large", "held", "quiet"] as const;
type Name = (typeof names)[number];
const agents = {} as Record<Name, ScriptedAgent>;
let house: TestHouse;
const tenant = (callers: string[]) => ({
  agents: callers,
  accessRules: [],
  a2a: {
    endpoints: names.map((name) => ({ name, url: agents[name].upstream.url, version: "1.0", binding: "JSONRPC" })),
  },
});

beforeAll(async () => {
  for (const name of names) agents[name] = stack.use(await ScriptedAgent.start(`task-of-${name}`));
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenant(["a-1", "gone-1"]) },
      replicas: { ingress: 2, egress: 1 },
      env: { SSE_KEEP_ALIVE_MS: "200" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const urlOf = (name: Name, ingress = 0) => `${house.house.of("ingress")[ingress]?.url}/a2a/${name}`;
const sendTo = (name: Name, who = "a-1") =>
  listen({ url: urlOf(name), key: house.key(who), headers, body: rpc("SendStreamingMessage", saying("go")) });
const subscribeTo = (name: Name, task: string, ingress = 0) =>
  listen({ url: urlOf(name, ingress), key: house.key("a-1"), headers, body: rpc("SubscribeToTask", { id: task }) });
const lastError = ({ messages }: EventReader) => messages.at(-1)?.error;

describe("an agent's stream", () => {
  it("that breaks off before the task is over is taken up again: the task as it is, then what is new", async () => {
    const agent = agents.broken;
    const reader = await sendTo("broken");
    await agent.open(1);
    agent.say("1");
    await reader.count(2);
    agent.breakOff();
    agent.texts.push("2");
    await agent.open(1);
    await reader.count(3);
    expect(textsIn(reader)).toEqual(["1", "2"]);
    const joined = await subscribeTo("broken", taskIn(reader), 1);
    agent.say("3");
    agent.become("TASK_STATE_COMPLETED");
    for (const each of [reader, joined]) {
      expect(await each.finished()).toBe("end");
      expect([textsIn(each), stateIn(each)]).toEqual([["1", "2", "3"], "TASK_STATE_COMPLETED"]);
    }
    expect(agent.calls.get("SendStreamingMessage")).toBe(1);
    expect(agent.calls.get("SubscribeToTask")).toBe(1);
  });

  it("that cannot be taken up again is replaced by asking for the task until it is over", async () => {
    const agent = agents.deaf;
    agent.isDeaf = true;
    const reader = await sendTo("deaf");
    await agent.open(1);
    agent.breakOff();
    await until("a question for the task", () => (agent.calls.get("GetTask") ?? 0) > 0);
    await reader.count(2);
    agent.texts.push("meanwhile");
    agent.state = "TASK_STATE_COMPLETED";
    expect(await reader.finished()).toBe("end");
    expect([textsIn(reader), stateIn(reader)]).toEqual([["meanwhile"], "TASK_STATE_COMPLETED"]);
  });

  it.each([
    ["is no JSON", "{nothing"],
    ["answers another request", '{"jsonrpc":"2.0","id":99,"result":{"task":{"id":"x"}}}'],
    ["is a notification", '{"jsonrpc":"2.0","method":"x"}'],
    ["A22: tells of another task", '{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"task-of-held"}}}'],
    ["has 5 MB", JSON.stringify({ jsonrpc: "2.0", id: 1, result: { task: { id: "x".repeat(5_000_000) } } })],
  ])("A40: an event that %s ends the stream with an error, for everybody who reads", async (_what, data) => {
    const agent = agents.bad;
    const reader = await sendTo("bad");
    await reader.count(1);
    const joined = await subscribeTo("bad", taskIn(reader), 1);
    const watch = new MemoryWatch(house.house.of("egress"));
    const [stream] = (await agent.open(1)).slice(-1);
    stream?.response.write(`data: ${data}\n\n`);
    for (const each of [reader, joined]) {
      expect(await each.finished()).toBe("end");
      expect(lastError(each)).toMatchObject({ code: expect.any(Number) as number });
      expect(JSON.stringify(each.messages)).not.toContain("task-of-held");
    }
    expect(watch.riseMb).toBeLessThan(96);
    agent.breakOff();
  });

  it("A40: an event without an end ends the stream at a bound", async () => {
    const agent = agents.bad;
    const reader = await sendTo("bad");
    const watch = new MemoryWatch(house.house.of("egress"));
    const [stream] = (await agent.open(1)).slice(-1);
    stream?.response.write("data: ");
    const flood = setInterval(() => stream?.response.write("x".repeat(1024 * 1024)), 5);
    try {
      expect(await reader.finished()).toBe("end");
    } finally {
      clearInterval(flood);
    }
    expect(lastError(reader)).toBeDefined();
    expect(watch.riseMb).toBeLessThan(96);
    agent.breakOff();
  });
});

describe("a reader", () => {
  it("A29: that does not read 100 MB slows nobody and holds no memory; it is cut off when what it misses is gone", async () => {
    const agent = agents.large;
    const slow = await answerOf(
      open({ url: urlOf("large"), key: house.key("a-1"), headers, body: rpc("SendStreamingMessage", saying("go")) }),
    );
    slow.pause();
    const [stream] = await agent.open(1);
    const quick = await subscribeTo("large", "task-of-large", 1);
    const watches = [new MemoryWatch(house.house.of("ingress")), new MemoryWatch(house.house.of("egress"))];
    const piece = "y".repeat(200_000);
    const artifact = { artifactId: "b", parts: [{ text: piece }] };
    const result = { artifactUpdate: { taskId: "task-of-large", contextId: agent.task.contextId, artifact } };
    const event = `data: ${JSON.stringify({ jsonrpc: "2.0", id: stream?.id, result })}\n\n`;
    for (let sent = 0; sent < 520; sent++) {
      if (stream?.response.write(event) === false)
        await new Promise<void>((resolve) => stream.response.once("drain", () => resolve()));
    }
    agent.become("TASK_STATE_COMPLETED");
    expect(await quick.finished(30_000)).toBe("end");
    expect(quick.messages.length).toBe(522);
    for (const watch of watches) expect(watch.riseMb).toBeLessThan(120);
    let read = 0;
    slow.on("data", (chunk: Buffer) => (read += chunk.length));
    slow.on("error", () => {});
    slow.resume();
    await until("the slow reader's end", () => slow.destroyed || slow.complete, 30_000);
    expect(read).toBeLessThan(104_000_000);
  }, 90_000);

  it("A8: whose credential is withdrawn is cut off, and the watch goes on", async () => {
    const agent = agents.held;
    const reader = await sendTo("held", "gone-1");
    const [stream] = await agent.open(1);
    await house.configure({ acme: tenant(["a-1"]) });
    expect(await reader.finished(10_000)).toBe("broken");
    agent.say("still here");
    expect(stream?.response.destroyed).toBe(false);
    agent.become("TASK_STATE_COMPLETED");
    const rows = await until("the outcome", async () => {
      const found = await house.query("select status from audit_calls where server = 'held' and state = 'done'");
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toMatchObject([{ status: 200 }]);
  });

  it("hears comments while the agent is silent, and nothing else", async () => {
    const reader = await sendTo("quiet");
    await until("comments", () => reader.comments >= 3);
    expect(reader.messages.length).toBe(1);
    reader.leave();
  });

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "A21: of an ingress that ends by %s comes back to another and misses nothing",
    async (signal) => {
      const agent = agents.quiet;
      const watcher = await subscribeTo("quiet", "task-of-quiet", 1);
      const replica = await house.house.add("ingress");
      const url = `${replica.url}/a2a/quiet`;
      const body = rpc("SubscribeToTask", { id: "task-of-quiet" });
      const reader = await listen({ url, key: house.key("a-1"), headers, body });
      agent.say(`before ${signal}`);
      await until("the text", () => textsIn(reader).includes(`before ${signal}`));
      const lastId = reader.events.at(-1)?.id ?? "";
      replica.endedOnPurpose = true;
      replica.process.kill(signal);
      expect(await reader.finished()).toBe(signal === "SIGTERM" ? "end" : "broken");
      agent.say(`after ${signal}`);
      const more = { ...headers, "last-event-id": lastId };
      const back = await listen({ url: urlOf("quiet"), key: house.key("a-1"), headers: more, body });
      await back.count(1);
      expect(textsIn(back)).toEqual([`after ${signal}`]);
      await until("the same for who stayed", () => textsIn(watcher).includes(`after ${signal}`));
      for (const each of [back, watcher]) each.leave();
    },
  );
});
