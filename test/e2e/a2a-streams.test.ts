import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { tenantWith } from "./a2a.ts";
import { endBy, headersV10 as headers, results, rpc, saying, taskIn, textsIn, watchers } from "./a2a-stream-wire.ts";
import { listen, send, type EventReader } from "./wire.ts";

const stack = new AsyncDisposableStack();
let agent: ReferenceAgent;
let house: TestHouse;

beforeAll(async () => {
  agent = stack.use(await startAgent("1.0"));
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenantWith({ one: { agent }, rest: { agent, binding: "HTTP+JSON" } }) },
      replicas: { ingress: 2, egress: 2 },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const url = (ingress = 0, name = "one") => `${house.house.of("ingress")[ingress]?.url}/a2a/${name}`;
const stream = (text: string, { ingress = 0, id = 1 as unknown } = {}) =>
  listen({ url: url(ingress), key: house.key("a-1"), headers, body: rpc("SendStreamingMessage", saying(text), id) });
const subscribe = (task: string, { ingress = 0, id = 1 as unknown, more = {} } = {}) =>
  listen({
    url: url(ingress),
    key: house.key("a-1"),
    headers: { ...headers, ...more },
    body: rpc("SubscribeToTask", { id: task }, id),
  });

const chunks = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => `chunk ${from + at};`);

describe("a stream of an agent", () => {
  it("reaches its client event by event, byte for byte as the agent sent it", async () => {
    const reader = await stream("chunks 3", { id: "ä-1" });
    await reader.count(2);
    agent.gates.release({ count: 3 });
    expect(await reader.finished()).toBe("end");
    const sent = agent.ledger.exchanges.at(-1)?.answer.body.toString() ?? "";
    const datas = sent
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .map((line) => line.slice(6));
    expect(reader.events.map(({ data }) => data)).toEqual(datas);
    expect(datas.length).toBe(6);
    expect(reader.events.map(({ id }) => id?.split(".").at(-1))).toEqual(["1", "2", "3", "4", "5", "6"]);
  });

  it("is read by any number of clients on any replica, each from where it joined, with no event lost or doubled", async () => {
    const first = await stream("chunks 20");
    await first.count(2);
    const task = taskIn(first);
    const hits = agent.ledger.hits;
    agent.gates.release({ task, count: 5 });
    await first.count(7);
    const second = await subscribe(task, { ingress: 1, id: "two" });
    await second.count(1);
    agent.gates.release({ task, count: 5 });
    await second.count(6);
    const third = await subscribe(task, { ingress: 0, id: 3 });
    agent.gates.release({ task, count: 10 });
    for (const reader of [first, second, third]) {
      expect(await reader.finished()).toBe("end");
      expect(textsIn(reader)).toEqual(chunks(1, 20));
    }
    expect(second.messages.every(({ id }) => id === "two")).toBe(true);
    expect(third.messages.every(({ id }) => id === 3)).toBe(true);
    expect(results(second)[0]?.task?.status.state).toBe("TASK_STATE_WORKING");
    expect(agent.ledger.hits).toBe(hits);
  });

  it("goes on without its client, who comes back with the id of the last event, or without", async () => {
    const first = await stream("chunks 8");
    await first.count(2);
    const task = taskIn(first);
    agent.gates.release({ task, count: 2 });
    await first.count(4);
    const last = first.events.at(-1)?.id ?? "";
    first.leave();
    agent.gates.release({ task, count: 2 });
    const again = await subscribe(task, { ingress: 1, more: { "last-event-id": last } });
    await again.count(2);
    const fresh = await subscribe(task, { ingress: 1 });
    agent.gates.release({ task, count: 4 });
    expect(await again.finished()).toBe("end");
    expect(textsIn(again)).toEqual(chunks(3, 8));
    expect(await fresh.finished()).toBe("end");
    expect(textsIn(fresh)).toEqual(chunks(1, 8));
  });

  it("a task that was begun without a stream has one when it is asked for, once at the agent for all who ask", async () => {
    const answer = await send({
      url: url(),
      key: house.key("a-1"),
      headers,
      body: rpc("SendMessage", { ...saying("chunks 4"), configuration: { returnImmediately: true } }),
    });
    const task = (JSON.parse(answer.body.toString()) as { result: { task: { id: string } } }).result.task.id;
    const hits = agent.ledger.hits;
    const readers = await Promise.all([0, 1, 0, 1].map((ingress, id) => subscribe(task, { ingress, id })));
    for (const reader of readers) await reader.count(1);
    agent.gates.release({ task, count: 4 });
    for (const reader of readers) {
      await reader.finished();
      expect(textsIn(reader)).toEqual(chunks(1, 4));
    }
    expect(agent.ledger.hits).toBe(hits + 1);
  });

  it("A22: a task that is over, foreign or unknown has none: the agent's answer, and the same for the last two", async () => {
    const over = await stream("echo done");
    await over.finished();
    const ask = async (task: string, who = "a-1") => {
      const body = rpc("SubscribeToTask", { id: task });
      const { status, body: text } = await send({ url: url(), key: house.key(who), headers, body });
      return { status, answer: JSON.parse(text.toString().replace(/^data: /, "")) as { error?: { code: number } } };
    };
    expect((await ask(taskIn(over))).answer.error?.code).toBe(-32004);
    const foreign = await ask(taskIn(over), "b-1");
    expect(foreign.answer.error?.code).toBe(-32001);
    expect(JSON.stringify(foreign).replaceAll(taskIn(over), "x")).toBe(
      JSON.stringify(await ask("00000000-0000-4000-8000-000000000000", "b-1")).replaceAll(
        "00000000-0000-4000-8000-000000000000",
        "x",
      ),
    );
  });
});

describe("a replica that dies or stops", () => {
  const agentsEvents = async (readers: EventReader[], task: string) => {
    await until("all readers at the end", () => readers.every(({ ended }) => ended !== undefined));
    return readers.map((reader) => ({ ended: reader.ended, last: results(reader).at(-1), task }));
  };

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "A21: egress ended by %s in mid-stream: its readers stay, the next event is the task as it is",
    async (signal) => {
      const first = await stream("chunks 12");
      await first.count(2);
      const task = taskIn(first);
      agent.gates.release({ task, count: 4 });
      await first.count(6);
      const readers = [
        first,
        await subscribe(task, { ingress: 1, id: 2 }),
        await subscribe(task, { ingress: 1, id: 3 }),
      ];
      for (const reader of readers) await reader.count(1);
      const counts = readers.map(({ messages }) => messages.length);
      for (const replica of await watchers(house)) endBy(signal, replica);
      await until(
        "a snapshot for everybody",
        () => readers.every(({ messages }, at) => messages.length > (counts[at] ?? 0)),
        20_000,
      );
      for (const [at, reader] of readers.entries()) expect(results(reader)[counts[at] ?? 0]?.task?.id).toBe(task);
      agent.gates.release({ task, count: 8 });
      for (const { ended } of await agentsEvents(readers, task)) expect(ended).toBe("end");
      for (const [at, reader] of readers.entries()) {
        const behind = { ...reader, messages: reader.messages.slice(counts[at]) } as EventReader;
        expect(textsIn(behind)).toEqual(chunks(1, 12));
      }
      await house.house.add("egress");
    },
    60_000,
  );
});
