import { randomUUID } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import type { TestTenant } from "@sluice/testing";
import type { ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { send, type Answer } from "./http.ts";

/** A tenant with these agents behind the gateway, each by the address of its JSON-RPC or, where wanted, REST binding. */
export function tenantWith(
  agents: Readonly<Record<string, { readonly agent: ReferenceAgent; readonly binding?: "JSONRPC" | "HTTP+JSON" }>>,
  more: Partial<TestTenant> = {},
): TestTenant {
  const endpoints = Object.entries(agents).map(([name, { agent, binding = "JSONRPC" }]) => ({
    name,
    url: binding === "JSONRPC" ? agent.jsonRpcUrl : (agent.restUrl as string),
    version: agent.version,
    binding,
  }));
  return { agents: ["a-1", "b-1"], accessRules: [], a2a: { endpoints }, ...more };
}

const wire = {
  "0.1": (text: string, more: object) => ({
    method: "tasks/send",
    params: { id: randomUUID(), message: { role: "user", parts: [{ type: "text", text }] }, ...more },
  }),
  "0.3": (text: string, more: object) => ({
    method: "message/send",
    params: {
      message: { kind: "message", messageId: randomUUID(), role: "user", parts: [{ kind: "text", text }], ...more },
    },
  }),
  "1.0": (text: string, more: object) => ({
    method: "SendMessage",
    params: { message: { messageId: randomUUID(), role: "ROLE_USER", parts: [{ text }], ...more } },
  }),
};

/** The body of a JSON-RPC send. `more` is added to the message, in 0.1 to the parameters. */
export function sendBody(version: keyof typeof wire, text: string, more: object = {}, id: unknown = 1): string {
  return JSON.stringify({ jsonrpc: "2.0", id, ...wire[version](text, more) });
}

export function rpcBody(method: string, params: object, id: unknown = 1): string {
  return JSON.stringify({ jsonrpc: "2.0", id, method, params });
}

/** Header fields of a caller that speaks A2A. */
export function speaking(key: string, more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return { "content-type": "application/json", accept: "application/json", "x-agent-api-key": key, ...more };
}

interface Rpc {
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

export const rpcOf = ({ text }: Answer): Rpc => JSON.parse(text) as Rpc;

/** The task of an answer of any revision. */
export function taskOf(answer: Answer): {
  readonly id: string;
  readonly contextId?: string;
  readonly sessionId?: string;
} {
  const { result } = rpcOf(answer);
  return (result?.["task"] ?? result) as never;
}

/** Asks one address of the gateway by JSON-RPC. */
export function caller(url: string, key: string) {
  return (body: string, more: OutgoingHttpHeaders = {}) => send(url, { headers: speaking(key, more), body });
}

/** The body of a send by REST. */
export function restBody(version: "0.3" | "1.0", text: string, more: object = {}): string {
  const parts = [{ text }];
  const message = { messageId: randomUUID(), role: "ROLE_USER", ...more };
  return JSON.stringify({ message: version === "1.0" ? { ...message, parts } : { ...message, content: parts } });
}
