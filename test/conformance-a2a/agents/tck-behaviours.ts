import type { Gates } from "./gates.ts";
import type { Happening, Piece, Turn } from "./words.ts";

const task: Happening = { is: "task" };
const working: Happening = { is: "status", state: "working" };
const completed: Happening = { is: "status", state: "completed" };
const artifact = (piece: Piece, more: object = {}): Happening => ({
  is: "artifact",
  id: "tck",
  pieces: [piece],
  ...more,
});
const done = (piece: Piece): Happening[] => [task, working, artifact(piece, { last: true }), completed];
const file = { mediaType: "text/plain", filename: "output.txt" };
const raw = { raw: Buffer.from("output").toString("base64"), ...file };

/** What the official kit (a2aproject/a2a-tck, scenarios/) wants of an agent, by the beginning of a message's id; the longest counts. */
const scripts: Readonly<Record<string, readonly Happening[]>> = {
  "tck-complete-task": [task, { is: "status", state: "completed", text: "Hello from TCK" }],
  "tck-artifact-text": done({ text: "Generated text content" }),
  "tck-artifact-file": done(raw),
  "tck-artifact-file-url": done({ url: "https://example.com/output.txt", ...file }),
  "tck-artifact-data": done({ data: { key: "value", count: 42 } }),
  "tck-message-response": [{ is: "message", pieces: [{ text: "Direct message response" }] }],
  "tck-input-required": [task, { is: "status", state: "input-required" }],
  "tck-reject-task": [task, { is: "status", state: "rejected", text: "rejected" }],
  "tck-stream-001": done({ text: "Stream hello from TCK" }),
  "tck-stream-002": [{ is: "message", pieces: [{ text: "Direct message response" }] }],
  "tck-stream-003": done({ text: "Stream task lifecycle" }),
  "tck-stream-ordering-001": done({ text: "Ordered output" }),
  "tck-stream-artifact-text": done({ text: "Streamed text content" }),
  "tck-stream-artifact-file": done(raw),
  "tck-stream-artifact-chunked": [
    task,
    working,
    artifact({ text: "chunk-1 " }),
    artifact({ text: "chunk-2" }, { append: true, last: true }),
    completed,
  ],
};

const longRunning = "test-resubscribe-message-id";

/** What a message of the kit asks for, if it is one. */
export async function* behaveForTck({ task: id, messageId }: Turn, gates: Gates): AsyncGenerator<Happening> {
  if (messageId.startsWith(longRunning)) {
    yield* [task, working];
    await gates.pass(id);
    yield completed;
    return;
  }
  const prefixes = Object.keys(scripts).filter((prefix) => messageId.startsWith(prefix));
  const longest = prefixes.toSorted((one, other) => other.length - one.length)[0];
  yield* (longest === undefined ? undefined : scripts[longest]) ?? done({ text: "Hello from TCK" });
}

export const isForTck = (messageId: string): boolean =>
  messageId.startsWith("tck-") || messageId.startsWith(longRunning);
