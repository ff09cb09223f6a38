import type { ServerResponse } from "node:http";
import { Fault } from "@sluice/contracts";
import { compile, raw, scan, scanAsync, type JsonRange } from "@sluice/json";
import type { Answer } from "./answer.ts";
import type { AgentBudget } from "./budget.ts";
import { MessageAnswer } from "./message-answer.ts";
import type { RpcError } from "./refusal.ts";

/** A JSON-RPC answer taken apart: its result or its error as raw JSON. */
export interface Outcome {
  readonly status: number;
  readonly result: Buffer | undefined;
  readonly error: Buffer | undefined;
}

export interface GatherOptions {
  readonly response: ServerResponse;
  readonly budget: AgentBudget;
  readonly carry: (answer: Answer) => Promise<void>;
}

const largeBytes = 256 * 1024;
const plan = compile([["result"], ["error"]], []);
const listPlan = compile([{ path: ["tools"], items: true }], []);
const itemPlan = compile([["name"], ["description"], ["inputSchema"]], []);

/** Waits for the one message that answers a call. @throws Fault */
export async function gather({ response, budget, carry }: GatherOptions): Promise<Outcome> {
  const messages: Buffer[] = [];
  const answer = new MessageAnswer({ budget, onMessage: (message) => messages.push(message), unsentBytes: () => 0 });
  const onClose = () => answer.destroy();
  response.once("close", onClose);
  if (response.destroyed) answer.destroy();
  try {
    await carry(answer);
  } finally {
    response.off("close", onClose);
  }
  if (answer.fault !== undefined) throw answer.fault;
  tellQuota(answer, response);
  const [message] = messages;
  if (answer.destroyed || message === undefined) throw new Fault("upstream_failed", "the answer broke off");
  const [result, error] = (await look(message, plan)).values;
  const rawOf = (range: JsonRange | undefined) => (range === undefined ? undefined : raw(message, range));
  return { status: answer.statusCode, result: rawOf(result), error: rawOf(error) };
}

/** What limits say of the call goes on to who called. */
function tellQuota({ headers }: MessageAnswer, response: ServerResponse): void {
  for (const name of ["ratelimit-policy", "ratelimit"]) {
    const value = headers[name];
    if (value !== undefined && !response.headersSent) response.setHeader(name, value);
  }
}

/** What an error answer says to who reads no JSON-RPC; its HTTP status stands. */
export function plainError({ status, error }: Outcome): { status: number; body: string } {
  const { code, message, data } = JSON.parse(error?.toString("utf8") ?? "{}") as Partial<RpcError>;
  const kind = status === 404 ? "not_found" : status === 400 ? "invalid_request" : "upstream_failed";
  return { status: status < 400 ? 502 : status, body: JSON.stringify({ error: kind, code, message, data }) };
}

/** What `server/discover` says, as an `initialize` is answered (MCP 2025-11-25, Lifecycle); there is no session. */
export function initializeResult(discovered: Buffer): Buffer {
  const { supportedVersions, capabilities, instructions, serverInfo, _meta } = JSON.parse(
    discovered.toString("utf8"),
  ) as Record<string, unknown> & { supportedVersions?: string[]; _meta?: Record<string, unknown> };
  const key = "io.modelcontextprotocol/serverInfo";
  const { [key]: info = serverInfo, ...rest } = _meta ?? {};
  const result = {
    protocolVersion: supportedVersions?.[0],
    capabilities,
    serverInfo: { name: "unknown", version: "0", ...(info as object | undefined) },
    instructions,
    ...(Object.keys(rest).length > 0 && { _meta: rest }),
  };
  return Buffer.from(JSON.stringify(result));
}

/** Of each tool that a list holds, what a registration document says of it, with its bytes as they are (seed 001 §6). */
export async function registeredTools(listed: Buffer): Promise<Buffer> {
  const [tools] = (await look(listed, listPlan)).values;
  const parts = (tools?.items ?? []).map((item) => {
    const tool = raw(listed, item);
    const seen = scan(tool, itemPlan);
    const members = ["name", "description", "inputSchema"].flatMap((name, index) => {
      const range = seen.ok ? seen.values[index] : undefined;
      return range === undefined ? [] : [`"${name}":${raw(tool, range).toString("utf8")}`];
    });
    return `{${members.join(",")}}`;
  });
  return Buffer.from(`[${parts.join(",")}]`);
}

async function look(body: Buffer, wanted: ReturnType<typeof compile>) {
  const seen = body.length > largeBytes ? await scanAsync(body, wanted) : scan(body, wanted);
  if (!seen.ok)
    throw new Fault("upstream_failed", "the upstream's answer cannot be shown on this path: send the call to /mcp");
  return seen;
}
