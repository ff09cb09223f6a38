import { hash } from "node:crypto";

/**
 * Every subject on the bus. Form: `gw.<kind>.v1.<service>.<verb>`, kind first so that permissions and filters are prefixes.
 * No text from outside ever becomes part of a subject.
 */

export const serviceNames = [
  "ingress",
  "policy",
  "rate-limit",
  "session-manager",
  "egress",
  "audit",
  "signer",
  "control",
] as const;
export type ServiceName = (typeof serviceNames)[number];

export type Protocol = "mcp" | "a2a";

/** Whose answers an admission message waits for; what is leased need not be asked. */
export interface Asked {
  readonly policy: boolean;
  readonly limit: boolean;
  readonly session: boolean;
}

export const subjects = {
  /** One batch of calls that ask for admission; answered by those who are asked, captured by the AUDIT stream in any case. */
  admit: (protocol: Protocol, { policy, limit, session }: Asked) =>
    `gw.admit.v1.${protocol}.${policy ? "policy" : "-"}.${limit ? "limit" : "-"}.${session ? "session" : "-"}`,
  admitAll: "gw.admit.v1.>",
  /** The admission messages that one service answers. */
  admitPolicy: "gw.admit.v1.*.policy.*.*",
  admitLimit: "gw.admit.v1.*.*.limit.*",
  admitSession: "gw.admit.v1.*.*.*.session",
  /** Batches of outcomes, captured by the AUDIT stream. */
  audit: (service: ServiceName) => `gw.audit.v1.${service}`,
  auditAll: "gw.audit.v1.>",
  /** Messages that the audit service could not read, kept with the reason. */
  auditDead: "gw.dead.v1.audit",
  /** One stored event of a log as compliance gets it (`TrailEntry`), in the order of the log; captured by the TRAIL stream. */
  trail: (log: string) => `gw.trail.v1.${log}`,
  trailAll: "gw.trail.v1.>",
  /** The JetStream API of the account of who reads a log, for control; and where the server hands over what is copied to it. */
  auditorApi: (log: string, verb: string) => `gw.auditor.v1.${log}.${verb}`,
  auditorCopy: (log: string, rest: string) => `gw.copy.v1.${log}.${rest}`,
  /** Signed checkpoints of a log; captured by the CHECKPOINTS stream. */
  checkpoint: (log: string) => `gw.checkpoint.v1.${log}`,
  checkpointAll: "gw.checkpoint.v1.>",
  /** What an agent told of a task to who asked to be told (A2A push notifications), until the client has it. */
  push: ({ tenant, id }: { readonly tenant: string; readonly id: string }) => `gw.push.v1.${tenant}.${id}`,
  pushAll: "gw.push.v1.>",
  /** All that agents told a tenant's clients; `tenant` is its `tenantToken`. */
  pushesOf: (tenant: string) => `gw.push.v1.${tenant}.*`,
  /** What could not be delivered to the client. */
  pushDead: "gw.dead.v1.push",
  /** A call to an upstream, taken by one egress replica of the protocol's pool. */
  call: (protocol: Protocol) => `gw.call.v1.egress.${protocol}`,
  callAll: "gw.call.v1.egress.*",
  /** A call that belongs to this egress replica, which holds what it goes on with. */
  callOf: (instance: string) => `gw.call.v1.egress.${instance}`,
  /** Questions to a service, answered by one replica. */
  ask: (service: ServiceName, verb: string) => `gw.ask.v1.${service}.${verb}`,
  /** Words to every egress replica, heeded by the one that owns the call or stream. */
  own: (verb: OwnVerb) => `gw.own.v1.egress.${verb}`,
  ownAll: "gw.own.v1.egress.*",
  /** A word to the ingress replica that has a client's event stream: a message for it, or that somebody else reads it now. */
  ownIngress: (instance: string, verb: "post" | "replaced") => `gw.own.v1.ingress.${instance}.${verb}`,
  /** Words to the rate-limit replica that counted something by itself, because Redis was away. */
  ownRateLimit: (instance: string) => `gw.own.v1.rate-limit.${instance}.give`,
  /** Presence of a replica, every `aliveEveryMs`. */
  alive: (service: ServiceName, instance: string) => `gw.alive.v1.${service}.${instance}`,
  aliveAll: (service: ServiceName) => `gw.alive.v1.${service}.*`,
  aliveEverywhere: "gw.alive.v1.>",
  /** Where one replica hears answers: a token for the question, then the service that answers (`answerOf`). */
  inbox: (service: ServiceName, instance: string) => `gw.inbox.v1.${service}.${instance}`,
  inboxesOf: (service: ServiceName) => `gw.inbox.v1.${service}.>`,
  /** The only inbox subjects that a service may publish on: whose an answer is stands in its subject, where NATS sees to it. */
  answersBy: (service: ServiceName) => `gw.inbox.v1.*.*.*.${service}`,
  /** The frames of one streamed reply; `stream` is `<ingress instance>.<number>`. Captured by the REPLIES stream. */
  stream: (tenant: string, stream: string) => `gw.stream.v1.${tenantToken(tenant)}.${stream}`,
  streamsOf: (instance: string) => `gw.stream.v1.*.${instance}.*`,
  streamsOfTenant: (tenant: string) => `gw.stream.v1.${tenantToken(tenant)}.>`,
  streamAll: "gw.stream.v1.>",
} as const;

const inboxPrefix = "gw.inbox.v1.";

/** Where a service answers a question that named this reply subject. */
export function answerOf(reply: string, service: ServiceName): string {
  return reply.startsWith(inboxPrefix) ? `${reply}.${service}` : reply;
}

/** The service that a question, or the part of a body, goes to; undefined for what JetStream itself answers. */
export function addresseeOf(subject: string): string | undefined {
  return /^gw\.(?:ask|call|own|inbox)\.v1\.([^.]+)\./.exec(subject)?.[1];
}

export type OwnVerb = "cancel" | "attach" | "detach" | "progress" | "release" | "refresh";

export const aliveEveryMs = 1_000;
/** A replica that was not heard for this long is taken for dead. */
export const deadAfterMs = 5_000;

/** JetStream streams and the KV bucket; control makes them, everyone else finds them. */
export const streams = {
  audit: { name: "AUDIT", subjects: [subjects.admitAll, subjects.auditAll] },
  dead: { name: "AUDIT_DEAD", subjects: [subjects.auditDead] },
  trail: { name: "TRAIL", subjects: [subjects.trailAll] },
  checkpoints: { name: "CHECKPOINTS", subjects: [subjects.checkpointAll] },
  push: { name: "PUSH", subjects: [subjects.pushAll] },
  pushDead: { name: "PUSH_DEAD", subjects: [subjects.pushDead] },
  replies: { name: "REPLIES", subjects: [subjects.streamAll] },
} as const;

/** In an auditor's own account: the copy of a log's part of TRAIL. */
export const auditorStream = "AUDIT_TRAIL";

export const confBucket = "conf";
/** What the signer signed last, by log: the signer's alone. */
export const checkpointBucket = "checkpoints";
/** A key of it that is no log's: whoever reads it has read everything there was. */
export const checkpointMarker = "_";
/** Earlier versions of `tenants.yaml`, control's alone. */
export const historyBucket = "conf_history";

/** Stands for a tenant in a subject. */
export function tenantToken(tenant: string): string {
  return hash("sha256", tenant, "hex").slice(0, 16);
}
