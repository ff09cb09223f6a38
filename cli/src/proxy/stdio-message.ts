import { Fault } from "@sluice/contracts";
import { compile, explain, raw, scan, text as textOf, type JsonRange } from "@sluice/json";
import { encodeHeaderValue } from "@sluice/relay";

/** What of a message decides how it travels. */
export interface Message {
  /** As raw JSON, of a request. */
  readonly id?: string;
  readonly method?: string;
  /** Of the modern era: the revision that the message says of itself. */
  readonly version?: string;
  /** Of an answer to `initialize`. */
  readonly agreedVersion?: string;
  /** Of `notifications/cancelled`: the request's id as raw JSON. */
  readonly cancels?: string;
  /** Of an answer: the request's id as raw JSON; `null` where an error names none. */
  readonly answers?: string;
  /** Of an answer, as raw JSON. */
  readonly error?: string;
  readonly isBatch?: true;
  /** What goes beside it (MCP 2026-07-28, Transports, Standard Request Headers). */
  readonly headers: Readonly<Record<string, string>>;
}

const versionKey = "io.modelcontextprotocol/protocolVersion";
const plan = compile([
  ["id"],
  ["method"],
  ["params", "name"],
  ["params", "uri"],
  ["params", "requestId"],
  ["params", "_meta", versionKey],
  ["result", "protocolVersion"],
  ["result"],
  ["error"],
]);

/** A line of a client's or a message of a server's; the fault says why it is none. */
export function readMessage(body: Buffer): Message | Fault {
  const seen = scan(body, plan);
  if (!seen.ok) return new Fault("parse_error", explain(seen.error));
  if (seen.root.kind === "array") return { isBatch: true, headers: {} };
  if (seen.root.kind !== "object") return new Fault("invalid_request", "it is no JSON-RPC message");
  const [id, method, name, uri, requestId, metaVersion, agreed, result, error] = seen.values;
  const said = (range: JsonRange | undefined) => textOf(body, range);
  const [methodName, version] = [said(method), said(metaVersion)];
  const rawId = id === undefined ? "null" : raw(body, id).toString("utf8");
  const answer = method === undefined ? answerOf(body, { rawId, result, error }) : {};
  return {
    ...(id !== undefined && methodName !== undefined && { id: rawId }),
    ...(methodName !== undefined && { method: methodName }),
    ...(version !== undefined && { version }),
    ...(said(agreed) !== undefined && { agreedVersion: said(agreed) as string }),
    ...(methodName === "notifications/cancelled" &&
      requestId !== undefined && { cancels: raw(body, requestId).toString("utf8") }),
    ...answer,
    headers: version === undefined ? {} : modernHeaders({ version, method: methodName, name: said(name) ?? said(uri) }),
  };
}

interface AnswerParts {
  readonly rawId: string;
  readonly result: JsonRange | undefined;
  readonly error: JsonRange | undefined;
}

function answerOf(body: Buffer, { rawId, result, error }: AnswerParts): Pick<Message, "answers" | "error"> {
  if (error?.kind === "object") return { answers: rawId, error: raw(body, error).toString("utf8") };
  return result === undefined ? {} : { answers: rawId };
}

/** Whether a message answers the request with this id, an error without an id included: it came where only that answer can. */
export function isAnswerTo(id: string, { answers, error }: Message): boolean {
  if (answers === undefined) return false;
  return answers === id || (answers === "null" && error !== undefined) || JSON.parse(answers) === JSON.parse(id);
}

function modernHeaders({
  version,
  method,
  name,
}: {
  version: string;
  method: string | undefined;
  name: string | undefined;
}) {
  const isNamed = method === "tools/call" || method === "prompts/get" || method === "resources/read";
  return {
    "mcp-protocol-version": encodeHeaderValue(version),
    ...(method !== undefined && { "mcp-method": encodeHeaderValue(method) }),
    ...(isNamed && name !== undefined && { "mcp-name": encodeHeaderValue(name) }),
  };
}
