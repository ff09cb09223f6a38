import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent } from "node:http";
import { connect } from "node:net";
import type { Replica } from "@sluice/launcher";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { MemoryWatch } from "./memory.ts";
import { answers, idOf, notes, range, ScriptedStreams } from "./scripted-streams.ts";
import {
  answerOf,
  call,
  EventReader,
  eventStreamOf,
  fingerprint,
  legacyHeaders,
  listen,
  modernCall,
  modernHeaders,
  open,
  send,
  type Sent,
} from "./wire.ts";

let streams: ScriptedStreams;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  streams = stack.use(await ScriptedStreams.start({ headers: (tool) => !tool.startsWith("silent-") }));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "a-2"],
          mcp: { endpoints: [{ name: "scripted", url: streams.upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
      replicas: { ingress: 2 },
      env: { SSE_KEEP_ALIVE_MS: "200" },
    }),
  );
});
afterEach(async () => {
  while (house.house.of("ingress").length < 2) await house.house.add("ingress");
  if (house.house.of("egress").length === 0) await house.house.add("egress");
});
afterAll(() => stack.disposeAsync());

const ingress = (at: number) => `${house.house.of("ingress")[at]?.url}/mcp`;
const legacy = (tool: string, at = 0): Sent => ({
  url: ingress(at),
  key: house.key("a-1"),
  headers: legacyHeaders,
  body: call(`id-${tool}`, tool),
});
const resumed = (lastEventId: string, at = 1): Sent => ({
  url: ingress(at),
  key: house.key("a-1"),
  method: "GET",
  headers: { ...legacyHeaders, "last-event-id": lastEventId },
});
async function outcomeOf(tool: string) {
  const rows = await until(`the outcome of ${tool}`, async () => {
    const found = await house.query<{
      status: number;
      fault: string | null;
      decision: string;
      is_error: boolean | null;
    }>("select status, fault, decision, is_error from audit_calls where target = $1 and state = 'done'", [tool]);
    return found.length > 0 ? found : undefined;
  });
  expect(rows).toHaveLength(1);
  return rows[0];
}

/** How many streams the first ingress replica serves. */
async function openStreams(): Promise<number> {
  const health = await fetch(`${house.house.of("ingress")[0]?.health}/health`);
  return ((await health.json()) as { streams: number }).streams;
}

/** The replica that a test is about to end; another takes its place after the test. */
function endingReplica(service: "ingress" | "egress", at: number): Replica {
  const replica = house.house.of(service)[at];
  if (replica === undefined) throw new Error("no such replica");
  replica.endedOnPurpose = true;
  return replica;
}

describe("a broken stream", () => {
  it("goes on after Last-Event-ID on another ingress replica with the exact rest, once and in order (A21)", async () => {
    const first = await listen(legacy("move"));
    const stream = await streams.of("move");
    for (const note of range(1, 10)) stream.note(note);
    await first.count(10);
    expect(notes(first)).toEqual(range(1, 10));
    first.leave();
    for (const note of range(11, 20)) stream.note(note);
    const second = await listen(resumed(idOf(first, 4)));
    await second.count(16);
    for (const note of range(21, 30)) stream.note(note);
    stream.answer();
    expect(await second.finished()).toBe("end");
    expect(notes(second)).toEqual(range(5, 30));
    expect(answers(second)).toEqual([expect.objectContaining({ id: "id-move", result: expect.anything() })]);
    const third = await listen(resumed(idOf(second, 29), 0));
    expect(await third.finished()).toBe("end");
    expect(notes(third)).toEqual([30]);
    expect(answers(third)).toHaveLength(1);
  });

  it("goes on elsewhere after the ingress that served it was killed with SIGKILL (A21)", async () => {
    const first = await listen(legacy("ingress-killed", 1));
    const stream = await streams.of("ingress-killed");
    for (const note of range(1, 5)) stream.note(note);
    await first.count(5);
    await endingReplica("ingress", 1).process.stop("SIGKILL");
    expect(await first.finished()).toBe("broken");
    for (const note of range(6, 10)) stream.note(note);
    const second = await listen(resumed(idOf(first, 5), 0));
    await second.count(5);
    for (const note of range(11, 15)) stream.note(note);
    stream.answer();
    expect(await second.finished()).toBe("end");
    expect(notes(second)).toEqual(range(6, 15));
    expect(answers(second)).toHaveLength(1);
  });

  it("loses and doubles nothing over a kill -9 of NATS, neither live nor resumed (A21)", async () => {
    const live = await listen(legacy("nats-killed"));
    const stream = await streams.of("nats-killed");
    for (const note of range(1, 100)) stream.note(note);
    await live.count(50);
    await house.house.parts.nats.kill("SIGKILL");
    for (const note of range(101, 200)) stream.note(note);
    await house.house.parts.nats.restart();
    for (const note of range(201, 300)) stream.note(note);
    stream.answer();
    expect(await live.finished(40_000)).toBe("end");
    expect(notes(live)).toEqual(range(1, 300));
    expect(answers(live)).toEqual([expect.objectContaining({ result: expect.anything() })]);
    // Each service comes back to NATS by itself; until the last of them has, a call is answered 503.
    const again = await until("the stream again", () =>
      listen(resumed(idOf(live, 150))).catch((error: Error) => {
        if (!error.message.includes("503")) throw error;
        return undefined;
      }),
    );
    expect(await again.finished(20_000)).toBe("end");
    expect(notes(again)).toEqual(range(151, 300));
    expect(answers(again)).toHaveLength(1);
  });

  it("of another principal answers its Last-Event-ID like one that never was, byte for byte (A21, A19)", async () => {
    const own = await listen(legacy("private"));
    const stream = await streams.of("private");
    stream.note(1);
    await own.count(1);
    const id = idOf(own, 1);
    const strangers = { ...resumed(id), key: house.key("a-2") };
    const unknown = {
      ...strangers,
      headers: { ...legacyHeaders, "last-event-id": id.replace(/^i[0-9a-f]{12}/, "i000000000000") },
    };
    const garbage = { ...strangers, headers: { ...legacyHeaders, "last-event-id": "garbage" } };
    const [foreign, missing, senseless] = [await send(strangers), await send(unknown), await send(garbage)];
    expect(foreign.status).toBe(404);
    expect(fingerprint(foreign)).toBe(fingerprint(missing));
    expect(fingerprint(foreign)).toBe(fingerprint(senseless));
    stream.answer();
    await own.finished();
  });
});

describe("SIGTERM of the ingress that serves a stream", () => {
  it("ends a legacy stream, which goes on elsewhere, lets a modern one run to its end, and exits with code 0 soon after (A38)", async () => {
    const agent = new Agent({ keepAlive: true });
    const old = await listen({ ...legacy("stop-legacy", 1), agent });
    const modern = await listen({
      ...legacy("stop-modern", 1),
      headers: modernHeaders("stop-modern"),
      body: modernCall(1, "stop-modern"),
      agent,
    });
    const [oldStream, modernStream] = [await streams.of("stop-legacy"), await streams.of("stop-modern")];
    for (const stream of [oldStream, modernStream]) stream.note(1);
    await Promise.all([old.count(1), modern.count(1)]);
    const exit = endingReplica("ingress", 1).process.stop("SIGTERM", 25_000);
    expect(await old.finished()).toBe("end");
    const resumedOld = await listen(resumed(idOf(old, 1), 0));
    for (const stream of [oldStream, modernStream]) {
      stream.note(2);
      stream.answer();
    }
    expect(await modern.finished()).toBe("end");
    const startedAt = Date.now();
    expect(notes(modern)).toEqual([1, 2]);
    expect(answers(modern)).toHaveLength(1);
    expect(await resumedOld.finished()).toBe("end");
    expect(notes(resumedOld)).toEqual([2]);
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    agent.destroy();
  });
});

describe("SIGTERM of an ingress with nothing under way", () => {
  it("is not held up by connections that a client keeps open, used or never used (A38)", async () => {
    const replica = endingReplica("ingress", 1);
    const agent = new Agent({ keepAlive: true });
    expect(
      (
        await send({
          ...legacy("unused", 1),
          method: "GET",
          headers: { "last-event-id": "garbage" },
          body: undefined,
          agent,
        })
      ).status,
    ).toBe(404);
    const silent = connect(Number(new URL(replica.url ?? "").port), "127.0.0.1");
    silent.on("error", () => {});
    await once(silent, "connect");
    const startedAt = Date.now();
    expect(await replica.process.stop("SIGTERM", 25_000)).toEqual({ code: 0, signal: null });
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    silent.destroy();
    agent.destroy();
  });
});

describe("a quiet stream", () => {
  it("is kept alive by comments that are no events, in both eras (A29)", async () => {
    const readers = [
      await listen(legacy("quiet-legacy")),
      await listen({
        ...legacy("quiet-modern"),
        headers: modernHeaders("quiet-modern"),
        body: modernCall(1, "quiet-modern"),
      }),
    ];
    for (const [index, tool] of ["quiet-legacy", "quiet-modern"].entries()) {
      const reader = readers[index] as EventReader;
      await until("three keep-alive comments", () => reader.comments >= 3);
      expect(reader.events).toEqual([]);
      (await streams.of(tool)).answer();
      expect(await reader.finished()).toBe("end");
      expect(reader.messages).toHaveLength(1);
    }
  });
});

describe("a reader that does not read", () => {
  it(
    "holds up no memory over 100 MB: the upstream waits for it, and it gets all of it when it reads (A29)",
    { timeout: 120_000 },
    async () => {
      const watch = new MemoryWatch([...house.house.of("ingress"), ...house.house.of("egress")]);
      const response = await answerOf(open(legacy("flood")));
      response.pause();
      const stream = await streams.of("flood");
      const sent = createHash("sha256");
      let written = 0;
      const writing = (async () => {
        const filler = "x".repeat(64 * 1024);
        for (const note of range(1, 1600)) {
          const data = `${note} ${filler}`;
          sent.update(data);
          written = note;
          const event = eventStreamOf([{ jsonrpc: "2.0", method: "notifications/message", params: { data } }]);
          if (!stream.response.write(event)) await once(stream.response, "drain");
        }
        stream.answer();
      })();
      let [before, unchanged] = [0, 0];
      await until("the upstream to wait", () => {
        unchanged = written === before && written > 0 ? unchanged + 1 : 0;
        before = written;
        return unchanged === 40;
      });
      expect(written).toBeLessThan(1000);
      expect(watch.riseMb).toBeLessThan(200);
      const received = createHash("sha256");
      const reader = new EventReader(response);
      response.resume();
      expect(await reader.finished(90_000)).toBe("end");
      await writing;
      expect(await stream.closed).toEqual({ finished: true });
      await outcomeOf("flood");
      for (const data of notes(reader)) received.update(String(data));
      expect(notes(reader)).toHaveLength(1600);
      expect(received.digest("hex")).toBe(sent.digest("hex"));
      expect(answers(reader)).toHaveLength(1);
      expect(watch.riseMb).toBeLessThan(200);
    },
  );
});

describe("a client that leaves", () => {
  it("does not cancel a call of the legacy era, streaming or not yet answered", async () => {
    const before = await openStreams();
    const reader = await listen(legacy("left-legacy"));
    const waiting = open(legacy("silent-legacy"));
    waiting.on("error", () => {});
    const [stream, silent] = [await streams.of("left-legacy"), await streams.of("silent-legacy")];
    reader.leave();
    waiting.destroy();
    await until("ingress to have noticed", async () => (await openStreams()) === before);
    stream.note(1);
    stream.answer();
    silent.response.writeHead(200, { "content-type": "application/json" });
    silent.response.end(JSON.stringify({ jsonrpc: "2.0", id: "id-silent-legacy", result: {} }));
    for (const tool of ["left-legacy", "silent-legacy"]) {
      expect(await (await streams.of(tool)).closed).toEqual({ finished: true });
      expect(await outcomeOf(tool)).toMatchObject({ status: 200, fault: null, is_error: false });
    }
  });

  it("cancels its call in the modern era: the upstream sees the connection close, streaming or not yet answered", async () => {
    const modern = (tool: string): Sent => ({
      ...legacy(tool),
      headers: modernHeaders(tool),
      body: modernCall(1, tool),
    });
    const reader = await listen(modern("left-modern"));
    const waiting = open(modern("silent-modern"));
    waiting.on("error", () => {});
    const [stream, silent] = [await streams.of("left-modern"), await streams.of("silent-modern")];
    reader.leave();
    waiting.destroy();
    expect(await stream.closed).toEqual({ finished: false });
    expect(await silent.closed).toEqual({ finished: false });
    for (const tool of ["left-modern", "silent-modern"])
      expect(await outcomeOf(tool)).toMatchObject({ fault: "client_left" });
  });
});

describe("a call whose egress is killed with SIGKILL", () => {
  it("ends within 10 s with an error as its answer, streaming, resumed and not yet answered", async () => {
    const reader = await listen(legacy("egress-killed"));
    const moved = await listen(legacy("egress-killed-moved"));
    const waiting = send(legacy("silent-egress-killed"));
    for (const tool of ["egress-killed", "egress-killed-moved"]) (await streams.of(tool)).note(1);
    await streams.of("silent-egress-killed");
    await reader.count(1);
    await moved.count(1);
    moved.leave();
    const second = await listen(resumed(idOf(moved, 1)));
    endingReplica("egress", 0).process.kill("SIGKILL");
    const startedAt = Date.now();
    const error = {
      code: 1502,
      message: expect.any(String),
      data: expect.objectContaining({ error: "upstream_failed" }),
    };
    expect(await reader.finished()).toBe("end");
    expect(answers(reader)).toEqual([{ jsonrpc: "2.0", id: "id-egress-killed", error }]);
    expect(await second.finished()).toBe("end");
    expect(answers(second)).toEqual([{ jsonrpc: "2.0", id: "id-egress-killed-moved", error }]);
    const answer = await waiting;
    expect([502, 503]).toContain(answer.status);
    expect(JSON.parse(answer.body.toString())).toMatchObject({
      id: "id-silent-egress-killed",
      error: { code: answer.status + 1000 },
    });
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    await house.house.add("egress");
    const after = await listen(legacy("after-kill"));
    (await streams.of("after-kill")).answer();
    expect(await after.finished()).toBe("end");
  });
});
