import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { agentSchema } from "./audit.ts";

/** API keys and gateway tokens that Sluice itself made: the KV bucket holds an entry for each, control writes, ingress reads. */
export const credentialBucket = "credentials";

/** A key of the bucket that is no credential: it says that control has made the bucket, so that an empty one is no missing one. */
export const credentialMarker = "_";

export const credentialKinds = ["key", "token"] as const;
export type CredentialKind = (typeof credentialKinds)[number];

/** Scopes as RFC 6749 has them. */
export const scopeSchema = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, "must be printable ASCII without spaces");

const credentialId = z.string().regex(/^[0-9a-f]{16}$/, "must be 16 hex digits");

/** What is kept of a credential: enough to know who it stands for, nothing that could be used. */
export const credentialSchema = z.object({
  id: credentialId,
  kind: z.enum(credentialKinds),
  /** SHA-256 of the credential in hex. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  tenant: z.string().min(1).max(64),
  /** Name and owner only where `listed` is false. */
  agent: agentSchema,
  /** The agent stands in tenants.yaml; the credential is good only while it does. */
  listed: z.boolean(),
  scopes: z.array(scopeSchema).max(64).optional(),
  /** Of a token: which run of the agent it was made for. */
  runtime: z.string().max(128).optional(),
  /** Of a token: the operator on whose behalf the agent acts. */
  user: z.string().max(64).optional(),
  createdAtMs: z.int(),
  createdBy: z.string().max(64),
  expiresAtMs: z.int().optional(),
  /** The key that took its place. */
  rotatedTo: credentialId.optional(),
});
export type Credential = z.infer<typeof credentialSchema>;

const prefixes: Record<CredentialKind, string> = { key: "slk", token: "slt" };
const shape = /^sl[kt]_[0-9a-f]{16}_[A-Za-z0-9_-]{43}[A-Za-z0-9_-]{6}$/;
const checksumCharacters = 6;

/** `slk_<id>_<256 random bits><checksum>`: recognisable where it leaked, and its id can be told from it. */
export function credentialText(kind: CredentialKind, id: string, random: Uint8Array): string {
  const text = `${visiblePrefix(kind, id)}_${Buffer.from(random).toString("base64url")}`;
  return text + checksumOf(text);
}

/** What of a credential may be shown. */
export function visiblePrefix(kind: CredentialKind, id: string): string {
  return `${prefixes[kind]}_${id}`;
}

/** Whether a text was made as a credential of this kind, good or not: its checksum fits. */
export function isCredentialText(kind: CredentialKind, text: string): boolean {
  if (!text.startsWith(prefixes[kind]) || !shape.test(text)) return false;
  return checksumOf(text.slice(0, -checksumCharacters)) === text.slice(-checksumCharacters);
}

export function credentialHash(text: string): string {
  return hash("sha256", text, "hex");
}

function checksumOf(text: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(text));
  return bytes.toString("base64url");
}
