/** What is sent and what must come back: upstream and load generator share this, and a2a-messages.ts, alone. */
import { a2aAnswer, a2aRequest } from "./a2a-messages.ts";

export const workloadNames = [
  "unary-256",
  "unary-32k",
  "sse-20",
  "tools-list",
  "tools-list-uncached",
  "federated-list",
  "federated-list-uncached",
  "rules-few",
  "rules-many",
  "a2a-send",
  "a2a-stream-20",
  "workstation-256",
  "workstation-sse-20",
] as const;

export type WorkloadName = (typeof workloadNames)[number];

/** Sluice's tenants: lists are kept or not, of one upstream or of several together. */
export const tenantNames = [
  "bench",
  "bench-uncached",
  "bench-federated",
  "bench-federated-uncached",
  "bench-rules-few",
  "bench-rules-many",
] as const;

export type TenantName = (typeof tenantNames)[number];

export interface Workload {
  readonly name: WorkloadName;
  readonly method: string;
  readonly tool?: string;
  /** Bytes of the text argument, where there is one. */
  readonly textBytes: number;
  /** Who sends it, to Sluice. */
  readonly tenant: TenantName;
  /** By so many agents in turn; one where it is not said. */
  readonly agents?: number;
  /** MCP where it is not said. */
  readonly protocol?: "a2a";
  /** Through `sluice proxy` alone. */
  readonly isWorkstation?: true;
}

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  "unary-256": { name: "unary-256", method: "tools/call", tool: "echo-256", textBytes: 256, tenant: "bench" },
  "unary-32k": { name: "unary-32k", method: "tools/call", tool: "echo-32k", textBytes: 32 * 1024, tenant: "bench" },
  "sse-20": { name: "sse-20", method: "tools/call", tool: "stream-20", textBytes: 32, tenant: "bench" },
  "tools-list": listing("tools-list", "bench"),
  "tools-list-uncached": listing("tools-list-uncached", "bench-uncached"),
  "federated-list": listing("federated-list", "bench-federated"),
  "federated-list-uncached": listing("federated-list-uncached", "bench-federated-uncached"),
  "workstation-256": {
    name: "workstation-256",
    method: "tools/call",
    tool: "echo-256",
    textBytes: 256,
    tenant: "bench",
    isWorkstation: true,
  },
  "workstation-sse-20": {
    name: "workstation-sse-20",
    method: "tools/call",
    tool: "stream-20",
    textBytes: 32,
    tenant: "bench",
    isWorkstation: true,
  },
  "rules-few": calling("rules-few", "bench-rules-few", 10),
  "rules-many": calling("rules-many", "bench-rules-many", 10_000),
  "a2a-send": { name: "a2a-send", method: "SendMessage", textBytes: 256, tenant: "bench", protocol: "a2a" },
  "a2a-stream-20": {
    name: "a2a-stream-20",
    method: "SendStreamingMessage",
    textBytes: 32,
    tenant: "bench",
    protocol: "a2a",
  },
};

function calling(name: WorkloadName, tenant: TenantName, agents: number): Workload {
  return { name, method: "tools/call", tool: "echo-256", textBytes: 256, tenant, agents };
}

function listing(name: WorkloadName, tenant: TenantName): Workload {
  return { name, method: "tools/list", textBytes: 0, tenant };
}

/** Whether several upstreams are merged, which no bare proxy can do. */
export function isFederated({ tenant }: Workload): boolean {
  return tenant.startsWith("bench-federated");
}

/** Whether policy is what is measured: it has nothing beside it in a bare proxy. */
export function isAboutRules({ tenant }: Workload): boolean {
  return tenant.startsWith("bench-rules");
}

/** The upstreams that are merged are one process; each has a path of its own and lists other tools. */
export const federatedNames = ["f1", "f2", "f3", "f4"] as const;
const federatedTools = 500;

export const protocolVersion = "2026-07-28";
export const streamEvents = 20;
export const listedTools = 20;
/** What the name of every listed tool begins with, as it stands in an answer. */
export const listedName = '"name":"tool-';

/** Ids have nine digits, so that a prepared request is patched in place. */
export const firstId = 100_000_000;
export const idDigits = 9;
const beforeId = '{"jsonrpc":"2.0","id":';
export const idOffset = beforeId.length;

const meta = {
  "io.modelcontextprotocol/protocolVersion": protocolVersion,
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** A JSON-RPC request whose id stands at `idOffset`. */
export function requestBody(workload: Workload): string {
  if (workload.protocol === "a2a") return a2aRequest(workload.method, workload.textBytes);
  const progress = workload.tool === "stream-20" ? { progressToken: "bench" } : {};
  const params = workload.tool
    ? { name: workload.tool, arguments: { text: "a".repeat(workload.textBytes) }, _meta: { ...meta, ...progress } }
    : { _meta: meta };
  return JSON.stringify({ jsonrpc: "2.0", id: firstId, method: workload.method, params });
}

const echoTexts: Readonly<Record<string, string>> = {
  "echo-256": "b".repeat(256),
  "echo-32k": "b".repeat(32 * 1024),
};

/** A JSON-RPC response in two pieces, the raw id goes between them. */
export interface Answer {
  readonly before: string;
  readonly after: string;
}

function answer(result: object): Answer {
  return { before: beforeId, after: `,"result":${JSON.stringify({ resultType: "complete", ...result })}}` };
}

const listAnswer = answer({
  tools: Array.from({ length: listedTools }, (_, n) => tool(String(n))),
  ttlMs: 60_000,
  cacheScope: "private",
});
const federatedAnswers = new Map(
  federatedNames.map((name) => [
    `/mcp/${name}`,
    answer({
      tools: Array.from({ length: federatedTools }, (_, n) => tool(`${name}-${n}`)),
      ttlMs: 600_000,
      cacheScope: "private",
    }),
  ]),
);
const echoAnswers = new Map(
  Object.entries(echoTexts).map(([name, text]) => [name, answer({ content: [{ type: "text", text }] })]),
);
const streamAnswer = answer({ content: [{ type: "text", text: "done" }] });

/** The whole answer to a unary request; undefined for anything the upstream does not know. */
export function unaryAnswer(method: string, toolName: string): Answer | undefined {
  return method === "tools/list" ? listAnswer : echoAnswers.get(toolName);
}

/** What the upstream at this path lists, where it is one of those that are merged. */
export function federatedAnswer(path: string): Answer | undefined {
  return federatedAnswers.get(path);
}

/** The events of `stream-20`: progress, and at last the result. */
export function streamEvent(number: number, rawId: string): string {
  if (number === streamEvents) return event(`${streamAnswer.before}${rawId}${streamAnswer.after}`);
  const params = {
    progressToken: "bench",
    progress: number,
    total: streamEvents,
    message: `step ${number} of ${streamEvents}`,
  };
  return event(JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params }));
}

function event(data: string): string {
  return `event: message\ndata: ${data}\n\n`;
}

/** Bytes of a unary answer with an id of nine digits. */
export function answerBytes(workload: Workload): number {
  if (workload.protocol === "a2a") return Buffer.byteLength(a2aAnswer(String(firstId)));
  const known = unaryAnswer(workload.method, workload.tool ?? "");
  if (!known) throw new Error(`${workload.name} has no unary answer`);
  return Buffer.byteLength(known.before) + idDigits + Buffer.byteLength(known.after);
}

function tool(suffix: string) {
  const text = (about: string) => ({
    type: "string",
    description: `${about} that the tool reads before it does its work`,
  });
  return {
    name: `tool-${suffix}`,
    title: `Tool number ${suffix}`,
    description: "Looks up records in the warehouse and returns those that match, with paging and a stable order.",
    inputSchema: {
      type: "object",
      properties: {
        query: text("the expression"),
        region: text("the region"),
        limit: { type: "integer", minimum: 1, maximum: 500 },
      },
      required: ["query"],
    },
  };
}
