import { z } from "zod";
import { a2aIntentSchema } from "./a2a.ts";
import { isSessionName } from "./session-name.ts";

/** Characters of a tool's or prompt's name, or a resource's URI; a longer one is refused. */
export const longestTarget = 2_048;
export const longestIssuer = 512;
/** Scopes of a token that go on beside a call. */
export const maxScopes = 128;

/** What a server lists (MCP). Resource templates are resources. */
export const listedKinds = ["tools", "prompts", "resources"] as const;
export type ListedKind = (typeof listedKinds)[number];

/** What access rules speak about: what servers list, the agents behind the gateway, and the skills that their cards show. */
export const targetKinds = [...listedKinds, "agents", "skills"] as const;
export type TargetKind = (typeof targetKinds)[number];

/** What an agent can be called. */
export const agentIdPattern = /^[A-Za-z0-9._@:-]{1,128}$/;

/** Who calls, as ingress verified it. */
export const agentSchema = z.object({
  id: z.string().max(256),
  name: z.string().max(256).optional(),
  owner: z.string().max(256).optional(),
});
export type Agent = z.infer<typeof agentSchema>;

/** What a client says that it is. */
export const clientSchema = z.object({ name: z.string().max(128), version: z.string().max(64).optional() });
export type Client = z.infer<typeof clientSchema>;

/** SHA-256 in hex. */
const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** Which of its emitter's events it is: each emitter counts its own from 1 and leaves none out. */
const seq = z.int().positive();

/** What a tenant's `captureFields` took of a request or an answer, by the names given there. */
export const capturedSchema = z.record(z.string().max(64), z.unknown());
export type Captured = z.infer<typeof capturedSchema>;

/** The attempt, stored before anything is forwarded. Times are Unix milliseconds. Never message content. */
export const intentSchema = z.object({
  /** Absent only while ingress has not sent it yet. */
  seq: seq.optional(),
  /** Unique over all replicas: `<ingress instance>-<number>`; the correlation id. */
  call: z.string().max(64),
  at: z.number().int(),
  label: z.enum(["mcp_proxy", "a2a_proxy"]),
  tenant: z.string().max(64),
  agent: agentSchema,
  /** Of the caller (`identityOf`); what belongs to one caller is nobody's who has none. */
  identity: z.string().max(64).optional(),
  /** The authentication method; where a token said it, who issued it, on whose behalf the agent acts, and its scopes. */
  auth: z.string().max(64),
  issuer: z.string().max(longestIssuer).optional(),
  user: z.string().max(256).optional(),
  scopes: z.array(z.string().max(256)).max(maxScopes).optional(),
  protocol: z.enum(["mcp", "a2a"]),
  era: z.enum(["legacy", "modern"]),
  http: z.string().max(8),
  path: z.string().max(512),
  /** The JSON-RPC method; `response` for an answer to the server, and the HTTP method where there is no body. */
  method: z.string().max(128),
  /** Tool or prompt name, or resource URI; over A2A the agent's endpoint. */
  target: z.string().max(longestTarget).optional(),
  /** What the target is, where the method does not say it (completion/complete). */
  targetKind: z.enum(targetKinds).optional(),
  /** What was called whose answer's rest this asks for: the rules have to allow it still. */
  resumes: z
    .object({
      method: z.string().max(128),
      target: z.string().max(longestTarget).optional(),
      targetKind: z.enum(targetKinds).optional(),
    })
    .optional(),
  /** `*` stands for all of the tenant together. */
  server: z.string().max(128),
  /** Where it does: the server that the prefix of the target's name says. */
  namedServer: z.string().max(128).optional(),
  /** The name of the legacy session, never its id. */
  session: z.string().refine(isSessionName).optional(),
  /** The JSON-RPC id as it was written. */
  rpcId: z.string().max(256).optional(),
  trace: z.string().max(64),
  bytes: z.number().int(),
  /** What the client says it is (`clientInfo` of MCP, else the product of `User-Agent`); in a legacy session the outcome has it. */
  client: clientSchema.optional(),
  /** Of the bytes of `params.arguments` as the client sent them, or of `params` where the method has no arguments. */
  argumentsHash: digest.optional(),
  captured: capturedSchema.optional(),
  /** Of a call by A2A; `method` is then one of `a2aOperations`, and `server` the agent. */
  a2a: a2aIntentSchema.optional(),
});
export type Intent = z.infer<typeof intentSchema>;

/** What the decision would have been, had the rules in shadow mode counted; only where that differs. */
export const shadowDecisionSchema = z.object({ decision: z.enum(["allow", "deny"]), rule: z.string().max(512) });
export type ShadowDecision = z.infer<typeof shadowDecisionSchema>;

/** Where a limit stood that counted the call: the item of `RateLimit-Policy`, and how many more would have passed. */
export const limitStateSchema = z.object({ policy: z.string().max(256), left: z.int() });
export type LimitState = z.infer<typeof limitStateSchema>;

/** How the attempt ended; exactly one is kept per call, the first that is stored. */
export const outcomeSchema = z.object({
  seq: seq.optional(),
  call: z.string().max(64),
  tenant: z.string().max(64),
  at: z.number().int(),
  /** `deny` where the rules, a limit or a missing verdict kept the call from being forwarded; `fault` says why it failed. */
  decision: z.enum(["allow", "deny"]),
  rule: z.string().max(512).optional(),
  policyVersion: z.number().int().optional(),
  shadow: shadowDecisionSchema.optional(),
  fault: z.string().max(64).optional(),
  /** The HTTP status the client got; 499 where it left before there was one. */
  status: z.number().int(),
  isError: z.boolean().optional(),
  durationMs: z.number().nonnegative(),
  bytes: z.number().int().nonnegative(),
  /** Which server it acted on, where `server` of the intent stands for all; absent where that is not one. */
  upstream: z.string().max(128).optional(),
  /** SHA-256 of the definition of the tool that was called, in hex, where its server's definitions are pinned. */
  definition: z.string().max(64).optional(),
  /** The state of the task that the answer tells, as 1.0 writes it, such as TASK_STATE_WORKING. */
  taskState: z.string().max(64).optional(),
  /** The task that the answer is about, where the call did not name it. */
  task: z.string().max(256).optional(),
  /** Streamed events; absent for a unary answer. */
  events: z.number().int().optional(),
  /** Of the bytes of the `result` (or `error`) member that the client got last; of the whole body where it is no JSON-RPC. */
  resultHash: digest.optional(),
  captured: capturedSchema.optional(),
  /** What the session's client said it is when it began. */
  client: clientSchema.optional(),
  /** The limit that had the least left. */
  limit: limitStateSchema.optional(),
  /** What egress authenticated with at the upstream: `none`, or the `type` of its credentials; `hmac` stands for signing alone. */
  credential: z.string().max(64).optional(),
  /** The replica that tells. */
  by: z.string().max(64),
});
export type Outcome = z.infer<typeof outcomeSchema>;

/** One event of a stream of a task, once however many clients read it (A2A 1.0 §4.2). Never content. */
export const streamEventSchema = z.object({
  seq: seq.optional(),
  /** The call that the subscription at the agent was opened for. */
  call: z.string().max(64),
  /** Counts from 1. */
  number: z.number().int(),
  at: z.number().int(),
  /** Whose task it is. */
  tenant: z.string().max(64),
  server: z.string().max(128),
  task: z.string().max(256).optional(),
  kind: z.enum(["task", "message", "statusUpdate", "artifactUpdate", "error"]),
  /** As 1.0 writes it. */
  taskState: z.string().max(64).optional(),
  bytes: z.number().int().nonnegative(),
  by: z.string().max(64),
});
export type StreamEvent = z.infer<typeof streamEventSchema>;

/** Requests that were refused before anybody was known: one event stands for all that are alike within some seconds. */
export const refusalsSchema = z.object({
  seq: seq.optional(),
  /** Unique over all replicas. */
  id: z.string().max(64),
  /** When the first and the last came. */
  at: z.int(),
  until: z.int(),
  /** Where the address is one tenant's. */
  tenant: z.string().max(64).optional(),
  protocol: z.enum(["mcp", "a2a"]).optional(),
  status: z.int(),
  fault: z.string().max(64),
  /** The address of the peer; absent where the event stands for many of them. */
  peer: z.string().max(64).optional(),
  count: z.int().positive(),
});
export type Refusals = z.infer<typeof refusalsSchema>;

/** What a call said, where its tenant wants it kept: it is stored apart from the trail, which has a commitment to it. */
export const contentSchema = z.object({
  seq: seq.optional(),
  call: z.string().max(64),
  at: z.int(),
  tenant: z.string().max(64),
  part: z.enum(["request", "response"]),
  /** Base64; at most the tenant's `maxBytes` of it. */
  data: z.string(),
  /** Of the whole. */
  bytes: z.int().nonnegative(),
});
export type Content = z.infer<typeof contentSchema>;

/** An emitter begins or ends: one that ended has told all that it had, `seq` being its last number. */
export const emitterSchema = z.object({
  seq: seq.optional(),
  at: z.int(),
  service: z.string().max(64),
  word: z.enum(["started", "stopped"]),
  /** Of Sluice. */
  version: z.string().max(64),
});
export type EmitterWord = z.infer<typeof emitterSchema>;
