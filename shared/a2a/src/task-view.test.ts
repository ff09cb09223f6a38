import type { Dialect } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { taskEvent, TaskView, updatesOf01 } from "./task-view.ts";

const rpc = (version: Dialect["version"]): Dialect => ({ version, binding: "JSONRPC" });
const rest: Dialect = { version: "1.0", binding: "HTTP+JSON" };
const roomy = 1024 * 1024;

function viewOf(dialect: Dialect, events: readonly unknown[], mostBytes = roomy): TaskView {
  const view = new TaskView(dialect, mostBytes);
  for (const event of events) view.apply(Buffer.from(typeof event === "string" ? event : JSON.stringify(event)));
  return view;
}
const told = (view: TaskView): unknown => JSON.parse(view.snapshot()?.toString() ?? "null");
const answer = (result: unknown) => ({ jsonrpc: "2.0", id: 7, result });
const message = (messageId: string) => ({ messageId, role: "ROLE_AGENT", parts: [{ text: messageId }] });

describe("TaskView", () => {
  it("tells a task of 1.0 as its events left it: status, history, artifacts, metadata", () => {
    const events = [
      { task: { id: "t", contextId: "c", status: { state: "TASK_STATE_SUBMITTED" }, history: [message("m0")] } },
      { statusUpdate: { taskId: "t", status: { state: "TASK_STATE_WORKING", message: message("m1") } } },
      { artifactUpdate: { taskId: "t", artifact: { artifactId: "a", name: "old", parts: [{ text: "1" }] } } },
      {
        artifactUpdate: {
          taskId: "t",
          append: true,
          artifact: { artifactId: "a", parts: [{ text: "2" }] },
          metadata: { k: 1 },
        },
      },
      { artifactUpdate: { taskId: "t", artifact: { artifactId: "b", parts: [{ text: "x" }] } } },
      { artifactUpdate: { taskId: "t", artifact: { artifactId: "b", parts: [{ text: "y" }] } } },
      {
        statusUpdate: {
          taskId: "t",
          status: { state: "TASK_STATE_WORKING", message: message("m1") },
          metadata: { l: 2 },
        },
      },
    ];
    const task = {
      id: "t",
      contextId: "c",
      status: { state: "TASK_STATE_WORKING", message: message("m1") },
      history: [message("m0"), message("m1")],
      artifacts: [
        { artifactId: "a", name: "old", parts: [{ text: "1" }, { text: "2" }] },
        { artifactId: "b", parts: [{ text: "y" }] },
      ],
      metadata: { k: 1, l: 2 },
    };
    expect(told(viewOf(rpc("1.0"), events.map(answer)))).toEqual(answer({ task }));
    expect(told(viewOf(rest, events))).toEqual({ task });
  });

  it("keeps members that nobody knows, and numbers as they were written", () => {
    const view = viewOf(rest, [
      '{"task":{"id":"t","x-new":12345678901234567890,"status":{"state":"TASK_STATE_SUBMITTED"}},"y":1.50}',
      '{"artifactUpdate":{"artifact":{"artifactId":"a","parts":[{"data":{"n":1e400,"__proto__":{"a":1}}}],"z":[1.0]}}}',
    ]);
    expect(view.snapshot()?.toString()).toBe(
      '{"task":{"id":"t","x-new":12345678901234567890,"status":{"state":"TASK_STATE_SUBMITTED"},' +
        '"artifacts":[{"artifactId":"a","parts":[{"data":{"n":1e400,"__proto__":{"a":1}}}],"z":[1]}]},"y":1.5}',
    );
    expect(({} as { a?: number }).a).toBeUndefined();
  });

  it.each(["0.2", "0.3"] as const)("tells a task of %s, whose events say their kind", (version) => {
    const view = viewOf(
      rpc(version),
      [
        { kind: "task", id: "t", contextId: "c", status: { state: "submitted" } },
        { kind: "status-update", taskId: "t", contextId: "c", status: { state: "working" }, final: false },
        {
          kind: "artifact-update",
          taskId: "t",
          contextId: "c",
          artifact: { artifactId: "a", parts: [{ kind: "text", text: "1" }] },
        },
      ].map(answer),
    );
    const artifacts = [{ artifactId: "a", parts: [{ kind: "text", text: "1" }] }];
    expect(told(view)).toEqual(
      answer({ kind: "task", id: "t", contextId: "c", status: { state: "working" }, artifacts }),
    );
  });

  it("tells a task of 0.1, whose streams never tell it whole", () => {
    const part = (text: string) => [{ type: "text", text }];
    const view = viewOf(
      rpc("0.1"),
      [
        { id: "t", status: { state: "working" }, final: false },
        { id: "t", artifact: { parts: part("1"), index: 0 } },
        { id: "t", artifact: { parts: part("2"), index: 0, append: true } },
        { id: "t", artifact: { parts: part("x"), index: 1 } },
      ].map(answer),
    );
    expect(told(view)).toMatchObject(
      answer({
        id: "t",
        status: { state: "working" },
        artifacts: [
          { index: 0, parts: [...part("1"), ...part("2")] },
          { index: 1, parts: part("x") },
        ],
      }),
    );
  });

  it("has nothing to tell of a stream that does not begin with its task, or of one that is too large", () => {
    const update = answer({ statusUpdate: { taskId: "t", status: { state: "TASK_STATE_WORKING" } } });
    expect(viewOf(rpc("1.0"), [update]).snapshot()).toBeUndefined();
    const large = { task: { id: "t", status: { state: "TASK_STATE_WORKING" }, metadata: { text: "x".repeat(2_000) } } };
    const view = viewOf(rest, [large], 1_000);
    expect([view.snapshot(), view.bytes, view.isKept]).toEqual([undefined, 0, false]);
  });

  it("holds what ten thousand events leave, not the events", () => {
    const begin = { task: { id: "t", status: { state: "TASK_STATE_WORKING" } } };
    const update = { statusUpdate: { taskId: "t", status: { state: "TASK_STATE_WORKING", timestamp: "2026-01-01" } } };
    const view = viewOf(rest, [begin, ...Array.from({ length: 10_000 }, () => update)]);
    expect(view.bytes).toBeLessThan(70_000);
    expect(told(view)).toEqual({ task: { id: "t", status: update.statusUpdate.status } });
  });
});

it("taskEvent puts the task of an answer into an event of the same dialect, byte for byte", () => {
  const task = '{"id": "t",  "x": 1.50}';
  const rpcAnswer = `{"jsonrpc": "2.0", "result": ${task}, "id": 1}`;
  const eventOf = (dialect: Dialect, text: string) => taskEvent(dialect, Buffer.from(text)).toString();
  expect(eventOf(rpc("1.0"), rpcAnswer)).toBe(`{"jsonrpc": "2.0", "result": {"task":${task}}, "id": 1}`);
  expect(eventOf(rpc("0.3"), rpcAnswer)).toBe(rpcAnswer);
  expect(eventOf(rest, task)).toBe(`{"task":${task}}`);
});

it("updatesOf01 tells a task to clients of 0.1 as what happened to it, and leaves every other event as it is", () => {
  const parts = [{ type: "text", text: "1" }];
  const eventsOf = (result: unknown) =>
    updatesOf01(Buffer.from(JSON.stringify(answer(result)))).map((data) => JSON.parse(data.toString()) as unknown);
  const task = { id: "t", status: { state: "completed" }, artifacts: [{ parts, index: 2, append: true }] };
  expect(eventsOf(task)).toEqual([
    answer({ id: "t", artifact: { parts, index: 2, append: false, lastChunk: true } }),
    answer({ id: "t", status: { state: "completed" }, final: true }),
  ]);
  const update = '{"jsonrpc": "2.0", "result": {"id": "t", "final": false, "status": {"state": "working"}}}';
  expect(updatesOf01(Buffer.from(update)).map(String)).toEqual([update]);
});
