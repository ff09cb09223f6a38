import type { A2aOperation, Dialect } from "@sluice/contracts";
import { answerFor, eventsFor, requestFor, type Sides, type WireAnswer } from "./index.ts";

export const rpc10: Dialect = { version: "1.0", binding: "JSONRPC" };
export const rpc03: Dialect = { version: "0.3", binding: "JSONRPC" };
export const rpc02: Dialect = { version: "0.2", binding: "JSONRPC" };
export const rpc01: Dialect = { version: "0.1", binding: "JSONRPC" };
export const rest10: Dialect = { version: "1.0", binding: "HTTP+JSON" };
export const rest03: Dialect = { version: "0.3", binding: "HTTP+JSON" };

export const sides = (client: Dialect, upstream: Dialect, operation: A2aOperation): Sides => ({
  client,
  upstream,
  operation,
  rpcId: '"r"',
});
export const request = (given: Sides, params: unknown, method = "m") => {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: "r", method, params }));
  return shown(requestFor(given, { http: "POST", rest: "", body }));
};
export const restRequest = (given: Sides, line: string) => {
  const [http = "", rest = ""] = line.split(" ");
  return shown(requestFor(given, { http: http as "GET" | "POST" | "DELETE", rest, body: Buffer.alloc(0) }));
};
const shown = ({ http, rest, body }: ReturnType<typeof requestFor>) => ({
  http,
  rest,
  body: body.length === 0 ? undefined : (JSON.parse(body.toString()) as Record<string, unknown>),
});
const answer = (body: unknown, status = 200): WireAnswer => ({
  status,
  contentType: "application/json",
  body: Buffer.from(JSON.stringify(body)),
});
export const answered = (given: Sides, body: unknown, status?: number) => {
  const { status: told, body: bytes } = answerFor(given, answer(body, status));
  return { status: told, body: JSON.parse(bytes.toString()) as Record<string, unknown> };
};
export const result = (given: Sides, of: unknown) =>
  answered(given, { jsonrpc: "2.0", id: "r", result: of }).body["result"];
export const events = (given: Sides, data: unknown) =>
  eventsFor(given, Buffer.from(JSON.stringify(data))).map((each) => JSON.parse(each.toString()) as unknown);

export const task03 = {
  kind: "task",
  id: "t",
  contextId: "c",
  status: {
    state: "input-required",
    message: { kind: "message", messageId: "s", role: "agent", parts: [] },
    timestamp: "2025-01-02T03:04:05",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { kind: "text", text: "hi" },
        { kind: "file", file: { uri: "https://f", mimeType: "image/png", name: "f.png" } },
        { kind: "file", file: { bytes: "AA==" }, metadata: { x: 1 } },
        { kind: "data", data: { a: 1 } },
      ],
    },
  ],
  history: [
    { kind: "message", messageId: "h", role: "user", parts: [{ kind: "text", text: "q" }], referenceTaskIds: ["o"] },
  ],
  metadata: { m: true },
};
export const task10 = {
  id: "t",
  contextId: "c",
  status: {
    state: "TASK_STATE_INPUT_REQUIRED",
    message: { messageId: "s", role: "ROLE_AGENT", parts: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { text: "hi" },
        { url: "https://f", filename: "f.png", mediaType: "image/png" },
        { raw: "AA==", metadata: { x: 1 } },
        { data: { a: 1 } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "ROLE_USER", parts: [{ text: "q" }], referenceTaskIds: ["o"] }],
  metadata: { m: true },
};
export const taskProto = {
  id: "t",
  contextId: "c",
  status: {
    state: "TASK_STATE_INPUT_REQUIRED",
    message: { messageId: "s", role: "ROLE_AGENT", content: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { text: "hi" },
        { file: { fileWithUri: "https://f", mimeType: "image/png", name: "f.png" } },
        { file: { fileWithBytes: "AA==" }, metadata: { x: 1 } },
        { data: { data: { a: 1 } } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "ROLE_USER", content: [{ text: "q" }], referenceTaskIds: ["o"] }],
  metadata: { m: true },
};
export const task01 = {
  id: "t",
  sessionId: "c",
  status: {
    state: "input-required",
    message: { messageId: "s", role: "agent", parts: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      index: 0,
      parts: [
        { type: "text", text: "hi" },
        { type: "file", file: { uri: "https://f", mimeType: "image/png", name: "f.png" } },
        { type: "file", file: { bytes: "AA==" }, metadata: { x: 1 } },
        { type: "data", data: { a: 1 } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "user", parts: [{ type: "text", text: "q" }] }],
  metadata: { m: true },
};
