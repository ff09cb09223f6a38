/** The messages of the workloads of A2A (1.0 over JSON-RPC). Each answer tells of a task of its own, as agents' do. */

export const a2aVersion = "1.0";
export const a2aStreamEvents = 20;
/** Where the upstream is an agent, and where one whose tasks do not end. */
export const a2aPath = "/a2a/bench";
export const a2aHeldPath = "/a2a/held";

/** A request whose id stands where those of the other workloads have it, and is 100000000. */
export function a2aRequest(method: string, textBytes: number): string {
  const message = { messageId: "bench", role: "ROLE_USER", parts: [{ text: "a".repeat(textBytes) }] };
  return JSON.stringify({ jsonrpc: "2.0", id: 100_000_000, method, params: { message } });
}

const ids = (rawId: string) => ({ taskId: `task-${rawId}`, contextId: `context-${rawId}` });
const status = (state: string) => ({ state: `TASK_STATE_${state}`, timestamp: "2026-01-01T00:00:00.000Z" });

function task(rawId: string, state: string, more: object = {}): object {
  const { taskId: id, contextId } = ids(rawId);
  return { task: { id, contextId, status: status(state), ...more } };
}

function rpc(rawId: string, result: object): string {
  return `{"jsonrpc":"2.0","id":${rawId},"result":${JSON.stringify(result)}}`;
}

const artifact = { artifactId: "answer", parts: [{ text: "b".repeat(256) }] };

/** The whole answer to SendMessage: a task that is done. */
export const a2aAnswer = (rawId: string): string => rpc(rawId, task(rawId, "COMPLETED", { artifacts: [artifact] }));

/** The events of a stream: the task, what it is at, and its end. */
export function a2aEvent(number: number, rawId: string): string {
  const update = (state: string) => rpc(rawId, { statusUpdate: { ...ids(rawId), status: status(state) } });
  const data =
    number === 1 ? rpc(rawId, task(rawId, "SUBMITTED")) : update(number === a2aStreamEvents ? "COMPLETED" : "WORKING");
  return `data: ${data}\n\n`;
}
