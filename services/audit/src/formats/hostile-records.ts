import { eventFormatSchema, type AuditRecord, type CallRecord } from "@sluice/contracts";

/** What a client might try, to end a line early, to add a field, or to make a reader choke. */
export const hostile = 'a|b\\c=d"e\r\nCEF:0|x\u0000\u001b[31m\u2028\u{1F600}\ud800 ü';
export const settings = eventFormatSchema.parse({});

const frame = {
  log: "acme",
  timestamp: "2026-11-21T10:00:00.000Z",
  storedAt: "2026-11-21T10:00:01.000Z",
  tenant: "acme",
  emitter: "ingress-1",
};

export const call: CallRecord = {
  ...frame,
  type: "call",
  id: "c1.o",
  index: 7,
  correlationId: "c1",
  state: "done",
  agentId: "sentinel-1",
  agentName: hostile,
  agentOwner: "team",
  protocol: "mcp",
  clientName: hostile,
  httpMethod: "POST",
  requestPath: "/mcp/tools/call",
  protocolMethod: "tools/call",
  toolName: "echo",
  target: "echo",
  server: "main",
  status: 200,
  decision: "allow",
  toolError: false,
  duration: 12.5,
  finishedAt: "2026-11-21T10:00:00.012Z",
  upstream: "main",
  captured: JSON.parse(
    `{"messageKind": "text", "agentId": "somebody-else", "correlationId": "mine", "__proto__": {"polluted": true}, "note": ${JSON.stringify(hostile)}}`,
  ) as Record<string, unknown>,
};

/** One of each kind, and a call of each end. */
export const records: readonly AuditRecord[] = [
  call,
  { ...call, id: "c2.o", decision: "deny", status: 403, rule: "acme/0", fault: "denied" },
  { ...call, id: "c3.u", state: "outcome unknown" },
  { ...frame, type: "call", id: "c4.o", index: 9, correlationId: "c4", state: "done", status: 200, decision: "allow" },
  {
    ...{ ...frame, type: "action", id: "k1.e", index: 10, correlationId: "k1", action: "keys.create", result: "done" },
    ...{ operator: "root", subject: hostile },
  },
  { ...frame, type: "action", id: "k2.e", index: 11, action: "conf.rollback", result: "refused", fault: "forbidden" },
  {
    ...{ ...frame, type: "stream", id: "c1.s1", index: 12, correlationId: "c1", eventKind: "statusUpdate" },
    ...{ eventNumber: 1, task: hostile, taskState: "TASK_STATE_WORKING", server: "planner" },
  },
  {
    ...{ ...frame, type: "refusals", id: "r1.r", index: 13, until: "2026-11-21T10:00:09.000Z", status: 401 },
    ...{ fault: "unauthenticated", peer: "192.0.2.7", count: 12, protocol: "mcp" },
  },
  { ...frame, type: "emitter", id: "ingress-1.1", index: 14, service: "ingress", word: "started", version: "0.1.0" },
  { ...frame, type: "emitter", id: "ingress-1.2", index: 15, service: "ingress", word: "stopped" },
];
