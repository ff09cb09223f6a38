import { describe, expect, test } from "vitest";
import { StreamMemory } from "./index.ts";
import { events, rest03, rest10, rpc01, rpc03, rpc10, sides, task10 } from "./translate-test-data.ts";

describe("a stream", () => {
  const status = { taskId: "t", contextId: "c", status: { state: "TASK_STATE_COMPLETED" } };

  test("says `final` before 1.0, where the task has ended", () => {
    const given = sides(rpc03, rpc10, "SendStreamingMessage");
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { statusUpdate: status } })).toEqual([
      {
        jsonrpc: "2.0",
        id: "r",
        result: { kind: "status-update", taskId: "t", contextId: "c", status: { state: "completed" }, final: true },
      },
    ]);
    const waiting = { ...status, status: { state: "TASK_STATE_INPUT_REQUIRED" } };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { statusUpdate: waiting } })).toMatchObject([
      { result: { final: false } },
    ]);
  });

  test("wraps in 1.0 what 0.3 tells by its kind", () => {
    const artifact = {
      kind: "artifact-update",
      taskId: "t",
      contextId: "c",
      artifact: { artifactId: "a", parts: [] },
      append: true,
      lastChunk: false,
    };
    const { kind: _kind, ...told } = artifact;
    expect(events(sides(rest10, rpc03, "SendStreamingMessage"), { jsonrpc: "2.0", id: 1, result: artifact })).toEqual([
      { artifactUpdate: told },
    ]);
  });

  test("has no task in 0.1: a snapshot is its artifacts and its status", () => {
    const given = { ...sides(rpc01, rpc10, "SubscribeToTask"), named: { task: "mine" }, memory: new StreamMemory() };
    const ended = { ...task10, status: { state: "TASK_STATE_REJECTED" } };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { task: ended } })).toMatchObject([
      { result: { id: "mine", artifact: { index: 0, append: false, lastChunk: true } } },
      { result: { id: "mine", status: { state: "failed" }, final: true } },
    ]);
    const chunk = { taskId: "t", contextId: "c", artifact: { artifactId: "b", parts: [] }, append: true };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { artifactUpdate: chunk } })).toMatchObject([
      { result: { id: "mine", artifact: { index: 1, append: true } } },
    ]);
  });

  test("of 0.1 is told with what is known of its context", () => {
    const given = { ...sides(rpc10, rpc01, "SendStreamingMessage"), context: "c" };
    expect(
      events(given, { jsonrpc: "2.0", id: 1, result: { id: "t", artifact: { parts: [], index: 2, append: true } } }),
    ).toMatchObject([
      {
        result: {
          artifactUpdate: { taskId: "t", contextId: "c", append: true, artifact: { artifactId: "artifact-2" } },
        },
      },
    ]);
  });

  test("begins with the task since 0.2, where the agent begins with what happens to it", () => {
    const working = { jsonrpc: "2.0", id: 1, result: { id: "t", status: { state: "working" }, final: false } };
    const status = { state: "TASK_STATE_WORKING" };
    const given = () => ({
      ...sides(rpc10, rpc01, "SendStreamingMessage"),
      named: { context: "mine" },
      renames: { contexts: [{ client: "mine", upstream: "c" }] },
      memory: new StreamMemory(),
    });
    const first = given();
    const update = { result: { statusUpdate: { taskId: "t", contextId: "mine", status } } };
    expect(events(first, working)).toMatchObject([
      { result: { task: { id: "t", contextId: "mine", status } } },
      update,
    ]);
    expect(events(first, working)).toMatchObject([update]);
    const resumed = given();
    resumed.memory.begin();
    expect(events(resumed, working)).toMatchObject([update]);
    const unnamed = { ...sides(rpc03, rpc01, "SendStreamingMessage"), memory: new StreamMemory() };
    const chunk = { jsonrpc: "2.0", id: 1, result: { id: "t", artifact: { parts: [], index: 0 } } };
    expect(events(unnamed, chunk)).toMatchObject([
      { result: { kind: "task", id: "t", contextId: "t", status: { state: "working" } } },
      { result: { kind: "artifact-update", taskId: "t", contextId: "t" } },
    ]);
    const old = { ...sides(rpc01, rpc03, "SendStreamingMessage"), memory: new StreamMemory() };
    const told = { kind: "status-update", taskId: "t", contextId: "c", status: { state: "working" }, final: false };
    expect(events(old, { jsonrpc: "2.0", id: 1, result: told })).toHaveLength(1);
  });

  test("tells an error in the client's words", () => {
    const failed = { jsonrpc: "2.0", id: 1, error: { code: -32001, message: "gone" } };
    const info = {
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: "TASK_NOT_FOUND",
      domain: "a2a-protocol.org",
    };
    expect(events(sides(rest10, rpc03, "SubscribeToTask"), failed)).toEqual([
      { error: { code: 404, status: "NOT_FOUND", message: "gone", details: [info] } },
    ]);
    expect(events(sides(rpc03, rest03, "SubscribeToTask"), { code: -32001, message: "gone" })).toEqual([
      { ...failed, id: "r" },
    ]);
  });
});
