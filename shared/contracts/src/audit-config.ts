import { hash } from "node:crypto";
import { z } from "zod";
import { secretReference } from "./secret-reference.ts";

/** The section `audit` of a tenant. Names come from seed 001 (agent-audit-log). */

/** Header fields that hold credentials, or by which somebody goes on with another's session, are never captured. */
const secretHeaders =
  /^(?:(?:proxy-)?authorization|(?:set-)?cookie2?|mcp-session-id|x-signature|(?:x-forwarded-)?client-cert(?:-chain)?|(?:x-)?ssl-.*|(?:x-)?(?:sid|ms-client-principal)|.*-auth|.*(?:authorization|auth-?key|access-?key|subscription-?key|functions-key|jwt|bearer|dpop|assertion|token|secret|passw|credential|api-?key|session-?id).*)$/i;
/** What the gateway itself says to the upstream of who calls, and what it never hears: fields of these names that come in are dropped. */
const ownHeaders = /^(?:x-verified-agent-.*|nats-.*)$/i;
export const identityHeaderNames = ["x-verified-agent-id", "x-verified-agent-name", "x-verified-agent-owner"] as const;

/** Whether a header field is one whose value may not be kept. */
export function isSecretHeader(name: string): boolean {
  return secretHeaders.test(name);
}

const captured = {
  /** RFC 9535, of the JSON-RPC message, or of the body where it is none. */
  jsonPath: z.string().min(1).max(512).optional(),
  /** Under which name it stands in the event. */
  as: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, "must be letters, digits and _, at most 64, and begin with no digit")
    .refine((name) => !(name in Object.prototype), "has a meaning of its own in JavaScript: choose another name"),
  /** Only of what comes this way: a path of seed 001, as limits have them. */
  onPath: z
    .string()
    .regex(/^\/(?:mcp|a2a)\/[A-Za-z/_-]+$/, "must be /mcp/… or /a2a/… and a method, such as /mcp/tools/call")
    .max(256)
    .optional(),
};

const requestFieldSchema = z
  .strictObject({
    /** The client's, or one that the gateway adds for the upstream, such as x-verified-agent-id. */
    header: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,128}$/, "must be the name of a header field")
      .refine((name) => !isSecretHeader(name), "holds a credential: it is never captured")
      .refine(
        (name) => !ownHeaders.test(name) || identityHeaderNames.some((own) => own === name.toLowerCase()),
        `never comes: of these names there are ${identityHeaderNames.join(", ")}`,
      )
      .optional(),
    ...captured,
  })
  .refine(({ header, jsonPath }) => (header === undefined) !== (jsonPath === undefined), {
    error: "give header or jsonPath, one of them",
  });

const responseFieldSchema = z.strictObject({ ...captured, jsonPath: z.string().min(1).max(512) });

/** One entry of either list. */
export interface CaptureField {
  readonly header?: string | undefined;
  readonly jsonPath?: string | undefined;
  readonly as: string;
  readonly onPath?: string | undefined;
}

export const captureFieldsSchema = z.strictObject({
  request: z.array(requestFieldSchema).max(32).default([]),
  response: z.array(responseFieldSchema).max(32).default([]),
});
export type CaptureFields = z.infer<typeof captureFieldsSchema>;

/** What ingress takes of requests, or egress of answers; there is none where nothing is to be taken. */
export const keptSchema = z.object({
  fields: z.array(
    z.object({
      header: z.string().optional(),
      jsonPath: z.string().optional(),
      as: z.string(),
      onPath: z.string().optional(),
    }),
  ),
  /** Of each message so many bytes of content; none without it. */
  contentBytes: z.int().optional(),
});
export type Kept = z.infer<typeof keptSchema>;

/** What is kept of messages themselves: nothing unless said. */
export const keptContentSchema = z.strictObject({
  requests: z.boolean().default(false),
  responses: z.boolean().default(false),
  /** Of each of them at most so many bytes. */
  maxBytes: z
    .int()
    .min(1)
    .max(512 * 1024)
    .default(64 * 1024),
});
export type KeptContent = z.infer<typeof keptContentSchema>;

export const eventFormats = ["structured-json", "cloudevents", "ocsf", "cef"] as const;
export type EventFormat = (typeof eventFormats)[number];

export const eventFormatSchema = z.strictObject({
  type: z.enum(eventFormats).default("structured-json"),
  includeTimestamp: z.boolean().default(true),
  includeCorrelationId: z.boolean().default(true),
  includeDuration: z.boolean().default(true),
  includeRequestPath: z.boolean().default(true),
});

const url = z
  .url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" })
  .refine((text) => !/^https?:\/\/[^/?#]*@/i.test(text), "holds a user name or password: give a header by reference");

const ofEveryDestination = {
  /** Distinguishes it in metrics and logs, and keeps its place when others come and go. */
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and dashes")
    .optional(),
  /** The tenant's `eventFormat` unless said. */
  format: z.enum(eventFormats).optional(),
  batchSize: z.int().min(1).max(5_000).default(50),
  flushIntervalMs: z.int().min(50).max(3_600_000).default(5_000),
  /** Where it begins when it is new: with what the log holds already, or with what comes. */
  from: z.enum(["start", "now"]).default("now"),
};

export const destinationSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("http"),
    ...ofEveryDestination,
    url,
    /** Sent with each batch; each value is a reference to a secret. */
    headers: z.record(z.string().regex(/^[A-Za-z0-9-]{1,128}$/), secretReference).default({}),
    timeoutMs: z.int().min(100).max(300_000).default(10_000),
  }),
  z.strictObject({
    type: z.literal("file"),
    ...ofEveryDestination,
    /** Below the directory of the audit service for files (`AUDIT_FILE_DIR`), and there below one named like the log. */
    path: z
      .string()
      .max(512)
      .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/, {
        error: "must be a relative path of letters, digits, . _ and -; no part of it may begin with a dot",
      }),
    /** A new file is begun when one has this size, and so many are kept. */
    maxBytes: z
      .int()
      .min(1_024)
      .default(100 * 1024 * 1024),
    maxFiles: z.int().min(1).max(10_000).default(10),
  }),
  z.strictObject({
    type: z.literal("syslog"),
    ...ofEveryDestination,
    host: z.string().min(1).max(253),
    port: z.int().min(1).max(65_535).default(6_514),
    transport: z.enum(["tls", "tcp", "udp"]).default("tls"),
    /** RFC 5424 §6.2.1; 13 is log audit. */
    facility: z.int().min(0).max(23).default(13),
  }),
  z.strictObject({
    type: z.literal("s3"),
    ...ofEveryDestination,
    /** Another endpoint than Amazon's, such as MinIO's. */
    endpoint: url.optional(),
    region: z.string().min(1).max(64).default("us-east-1"),
    bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket"),
    prefix: z
      .string()
      .max(512)
      .regex(/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/|$))*$/, {
        error: "must be letters, digits, . _ - and / between; no part of it may begin with a dot",
      })
      .default(""),
    accessKeyId: secretReference,
    secretAccessKey: secretReference,
  }),
  z.strictObject({
    type: z.literal("splunk-hec"),
    ...ofEveryDestination,
    url,
    token: secretReference,
    index: z.string().max(128).optional(),
    sourcetype: z.string().max(128).default("sluice:audit"),
  }),
]);
export type Destination = z.infer<typeof destinationSchema>;

/** What it is called in metrics, logs and where its place is kept: its name, or what its address makes of it. */
export function destinationName(destination: Destination): string {
  return destination.name ?? `${destination.type}-${hash("sha256", addressOf(destination), "hex").slice(0, 8)}`;
}

function addressOf(destination: Destination): string {
  switch (destination.type) {
    case "http":
    case "splunk-hec":
      return destination.url;
    case "file":
      return destination.path;
    case "syslog":
      return `${destination.transport} ${destination.host} ${destination.port}`;
    case "s3":
      return `${destination.endpoint ?? ""} ${destination.bucket} ${destination.prefix}`;
  }
}

const destinationsSchema = z
  .array(destinationSchema)
  .max(16)
  .superRefine((all, context) => {
    for (const [what, of] of [
      ["name", destinationName],
      ["file", (each: Destination) => (each.type === "file" ? each.path : undefined)],
    ] as const) {
      const seen = new Set<string | undefined>();
      for (const [index, each] of all.entries()) {
        const value = of(each);
        if (value !== undefined && seen.has(value))
          context.addIssue({ code: "custom", path: [index], message: `another destination has this ${what}` });
        seen.add(value);
      }
    }
  });

/** Where events go, and for how long they are kept. */
const consumed = {
  destinations: destinationsSchema.default([]),
  eventFormat: eventFormatSchema.prefault({}),
  /** For ever unless said. */
  retentionDays: z.int().min(1).max(36_500).optional(),
};

export const gatewayAuditSchema = z.strictObject(consumed);
export const tenantAuditSchema = z.strictObject({
  ...consumed,
  captureFields: captureFieldsSchema.prefault({}),
  content: keptContentSchema.prefault({}),
});
export type TenantAudit = z.infer<typeof tenantAuditSchema>;
