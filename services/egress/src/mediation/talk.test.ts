import { identityOf, type CallHead } from "@sluice/contracts";
import { afterEach, expect, test, vi } from "vitest";
import type { Sink } from "./peer.ts";
import { Questions } from "./questions.ts";
import type { Members } from "./rpc.ts";
import { ParkedTalks, Talk } from "./talk.ts";

const silent = () => {};
const deaf = { notify: silent, room: () => Promise.resolve() };
const never = () => new Promise<never>(() => {});
const request = { method: "tools/call", params: { name: "ask" } };
const head = (id: string, call = "c-1", user = "u-1") =>
  ({ tenant: "t", agent: { id }, identity: identityOf({ agent: { id }, user }), server: "s", call }) as CallHead;

afterEach(() => void vi.useRealTimers());

/** A talk whose upstream asks when told to. */
function asking() {
  const talk = new Talk({ elicitation: {}, roots: {} }, { actedOn: "one" });
  const begun = Promise.withResolvers<Sink>();
  talk.begin(async (sink) => {
    begun.resolve(sink);
    return await never();
  });
  return { talk, sink: begun.promise };
}

test("a round ends only with questions that are open: one that came late in the last round does not end the next", async () => {
  vi.useFakeTimers();
  const acted: unknown[] = [];
  const { talk, sink } = asking();
  const upstream = await sink;
  const { promise: first, resolve: firstAnswered } = Promise.withResolvers<Members>();
  void upstream.ask({ method: "elicitation/create" }).then(firstAnswered);
  await vi.advanceTimersByTimeAsync(3);
  upstream.ask({ method: "roots/list" }).catch(silent);
  await vi.advanceTimersByTimeAsync(2);
  const round = await talk.round(deaf);
  const asked = "inputRequests" in round ? round.inputRequests : {};
  expect(Object.keys(asked)).toEqual(["input-1", "input-2"]);
  talk.answer({ "input-1": { action: "accept" }, "input-2": { roots: [] } }, { actOn: (server) => acted.push(server) });
  expect(acted).toEqual(["one"]);
  expect(await first).toEqual({ action: "accept" });
  const over = vi.fn();
  void talk.round(deaf).then(over);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(over).not.toHaveBeenCalled();
});

test("an upstream has a bounded number of questions open during one call, of either era", async () => {
  const { talk, sink } = asking();
  const upstream = await sink;
  const refusals: unknown[] = [];
  for (let at = 0; at < 500; at++)
    upstream.ask({ method: "roots/list" }).catch((error: unknown) => void refusals.push(error));
  const round = await talk.round(deaf);
  expect(Object.keys("inputRequests" in round ? round.inputRequests : {})).toHaveLength(100);
  expect(refusals).toHaveLength(400);

  const questions = new Questions("i");
  const sent: unknown[] = [];
  const ending = new AbortController();
  const put = (call: string) =>
    questions.put(
      { method: "roots/list" },
      { head: head("a-1", call), signal: ending.signal, send: (message) => void sent.push(message) },
    );
  const all = Array.from({ length: 500 }, () => put("c-1"));
  const other = put("c-2");
  expect(sent).toHaveLength(101);
  ending.abort();
  expect((await Promise.allSettled([...all, other])).every(({ status }) => status === "rejected")).toBe(true);
});

test("a reader of a round that is over holds nobody up in the next", async () => {
  const { talk, sink } = asking();
  const upstream = await sink;
  const round = talk.round({ notify: silent, room: never });
  const room = upstream.room?.();
  upstream.ask({ method: "roots/list" }).catch(silent);
  await round;
  await room;
  await upstream.room?.();
});

test("an agent that parks too many talks loses its own oldest, and nobody else's", async () => {
  const parked = new ParkedTalks({ instance: "i", mostPerAgent: 3 });
  const [theirs, ...mine] = Array.from({ length: 5 }, () => asking().talk);
  if (theirs === undefined) throw new Error("no talk");
  const kept = parked.park(theirs, head("a-2"), request);
  const states = mine.map((talk) => parked.park(talk, head("a-1"), request));
  expect(mine.map(({ signal }) => signal.aborted)).toEqual([true, false, false, false]);
  expect(() => parked.resume(states[0] ?? "", head("a-1"), request)).toThrow(/unknown/);
  expect(parked.resume(states[1] ?? "", head("a-1"), request)).toBe(mine[1]);
  expect(parked.resume(kept, head("a-2"), request)).toBe(theirs);
});

test("what waits for one user of an agent is nobody else's: neither a parked call nor a question", async () => {
  const parked = new ParkedTalks({ instance: "i", mostPerAgent: 3 });
  const { talk } = asking();
  const state = parked.park(talk, head("a-1"), request);
  expect(() => parked.resume(state, head("a-1", "c-2", "u-2"), request)).toThrow(/unknown/);
  expect(parked.resume(state, head("a-1", "c-2"), request)).toBe(talk);

  const questions = new Questions("i");
  const sent: { id: string }[] = [];
  const answer = questions.put(
    { method: "roots/list" },
    { head: head("a-1"), signal: new AbortController().signal, send: (message) => void sent.push(message as never) },
  );
  const reply = (user: string) =>
    questions.take({ id: sent[0]?.id, result: { roots: [user] } } as never, head("a-1", "c-2", user));
  reply("u-2");
  reply("u-1");
  expect(await answer).toEqual({ roots: ["u-1"] });
});

test("who waits for parked talks goes on when the last was taken up", async () => {
  const parked = new ParkedTalks({ instance: "i", mostPerAgent: 3 });
  await parked.settled(60_000);
  const { talk } = asking();
  const state = parked.park(talk, head("a-1"), request);
  const settled = parked.settled(60_000);
  parked.resume(state, head("a-1"), request);
  await settled;
  parked[Symbol.dispose]();
  expect(talk.signal.aborted).toBe(false);
});
