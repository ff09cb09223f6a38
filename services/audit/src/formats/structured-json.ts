import type { AuditRecord } from "@sluice/contracts";
import { asJson, type EventFormatSettings, type OpenFormat } from "./format.ts";

/** The form of seed 001: one flat object, with what `captureFields` took at the top level. */
export const structuredJson: OpenFormat = (settings) => asJson((record) => structured(record, settings));

type NameIn<Record> = Record extends AuditRecord ? keyof Record : never;
/** What the gateway itself says of some record, whether it says it of this one or not. */
const ownNames: { readonly [Name in NameIn<AuditRecord>]: true } = {
  id: true,
  log: true,
  index: true,
  timestamp: true,
  storedAt: true,
  correlationId: true,
  tenant: true,
  emitter: true,
  type: true,
  state: true,
  agentId: true,
  agentName: true,
  agentOwner: true,
  user: true,
  auth: true,
  authIssuer: true,
  scopes: true,
  label: true,
  protocol: true,
  era: true,
  clientName: true,
  clientVersion: true,
  httpMethod: true,
  requestPath: true,
  protocolMethod: true,
  toolName: true,
  target: true,
  targetKind: true,
  server: true,
  namedServer: true,
  resumes: true,
  sessionHash: true,
  rpcId: true,
  trace: true,
  requestBytes: true,
  argumentsHash: true,
  finishedAt: true,
  status: true,
  decision: true,
  rule: true,
  policyVersion: true,
  shadowDecision: true,
  shadowRule: true,
  limitPolicy: true,
  limitLeft: true,
  fault: true,
  toolError: true,
  duration: true,
  responseBytes: true,
  resultHash: true,
  events: true,
  upstream: true,
  credential: true,
  definition: true,
  a2aVersion: true,
  a2aBinding: true,
  task: true,
  context: true,
  pushConfig: true,
  messageKind: true,
  taskState: true,
  outcomeEmitter: true,
  captured: true,
  action: true,
  result: true,
  operator: true,
  subject: true,
  previousDefinition: true,
  count: true,
  eventKind: true,
  eventNumber: true,
  bytes: true,
  until: true,
  peer: true,
  service: true,
  word: true,
  version: true,
};
/** What messages say themselves, and seed 001 captures by these names. */
const ofMessages: readonly string[] = ["messageKind", "protocolMethod", "taskState", "toolError", "toolName"];

/** A captured field never stands in for one that the gateway itself says: those that would stay in `captured`, where they say something else. */
export function structured(record: AuditRecord, settings: EventFormatSettings): Record<string, unknown> {
  const { captured = {}, ...own } = record as AuditRecord & { captured?: Record<string, unknown> };
  const hidden = [
    ...(settings.includeTimestamp ? [] : ["timestamp"]),
    ...(settings.includeCorrelationId ? [] : ["correlationId"]),
    ...(settings.includeDuration ? [] : ["duration"]),
    ...(settings.includeRequestPath ? [] : ["requestPath"]),
  ];
  const said: Record<string, unknown> = { ...own };
  const isTaken = (name: string) =>
    Object.hasOwn(said, name) || (Object.hasOwn(ownNames, name) && !ofMessages.includes(name));
  const entries = Object.entries(captured);
  const aside = entries.filter(([name, value]) => isTaken(name) && (hidden.includes(name) || said[name] !== value));
  return {
    ...Object.fromEntries(entries.filter(([name]) => !isTaken(name))),
    ...(aside.length > 0 && { captured: Object.fromEntries(aside) }),
    ...Object.fromEntries(Object.entries(said).filter(([name]) => !hidden.includes(name))),
  };
}
