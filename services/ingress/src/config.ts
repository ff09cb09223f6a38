import { upstreamNetworks } from "@sluice/net";
import { integer, keyRing, list, oneOf, pemFile } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  HOST: z.string().default("127.0.0.1"),
  PORT: integer(0, 65_535).default(8080),
  /** Certificate with its chain, and key; without them ingress speaks plain HTTP. */
  TLS_CERT_FILE: pemFile,
  TLS_KEY_FILE: pemFile,
  /** Further authorities for the handshake with agents: roots of those that tenants name. */
  TLS_CLIENT_CA_FILE: pemFile,
  TLS_MIN_VERSION: oneOf(["1.2", "1.3"]).default("1.2"),
  /** Where agents reach this gateway, such as https://gateway.example.com; its host is allowed. */
  PUBLIC_URL: z.url({ protocol: /^https?$/, error: "must be a URL such as https://gateway.example.com" }).optional(),
  /** What agents' cards are signed with: EC private keys on P-256, as PEM or JWK; the first signs, all are published. Without it cards are not signed. */
  CARD_SIGNING_KEY: z.string().min(1).optional(),
  /** Further values of the Host header that are served, beside loopback names and PUBLIC_URL's. */
  ALLOWED_HOSTS: list.default([]),
  /** Origins of web pages that may call; others are answered with 403. Requests without an Origin are not pages. */
  ALLOWED_ORIGINS: list.default([]),
  /** Networks that authorization servers and validation endpoints may be in beside public addresses. */
  UPSTREAM_NETWORKS: upstreamNetworks,
  /** Where agents behind the gateway reach it with their push notifications, where that is not PUBLIC_URL. */
  PUSH_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: "must be a URL such as https://gateway.example.com" })
    .optional(),
  /** What the addresses that agents are told are signed with, as egress has it; without one there are no push notifications. */
  PUSH_SIGNING_KEY: keyRing.optional(),
  /** Bytes of one push notification; how many of one configuration are taken in a minute, by each replica; how many, and how many bytes, of one tenant may wait. */
  PUSH_MAX_BODY_BYTES: integer(1_024, 768 * 1024).default(256 * 1024),
  PUSH_MAX_PER_MINUTE: integer(1, 1_000_000).default(600),
  PUSH_MAX_WAITING_PER_TENANT: integer(1, 1_000_000).default(4_096),
  PUSH_MAX_BYTES_PER_TENANT: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(32 * 1024 ** 2),
  ADMISSION_TIMEOUT_MS: integer(100, 60_000).default(2_000),
  /** How long a client may take to send a request's head, and the whole of it. */
  HEADERS_TIMEOUT_MS: integer(1_000, 600_000).default(10_000),
  REQUEST_TIMEOUT_MS: integer(1_000, 3_600_000).default(60_000),
  /** Bodies held at once while they are read and admitted; beyond it calls get 503. */
  MAX_HELD_BODY_BYTES: integer(1_048_576, 68_719_476_736).default(536_870_912),
  MAX_CONNECTIONS: integer(1, 1_000_000).default(20_000),
  /** Messages of one JSON-RPC batch. */
  MAX_BATCH_MESSAGES: integer(1, 1_000).default(32),
  /** Event streams of HTTP+SSE clients in this replica, and of one agent in it. */
  MAX_SSE_SESSIONS: integer(1, 100_000).default(2_000),
  MAX_SSE_SESSIONS_PER_AGENT: integer(1, 100_000).default(32),
  SSE_KEEP_ALIVE_MS: integer(100, 60_000).default(15_000),
  /** How often requests of nobody known that were refused are told to the audit trail, counted. */
  REFUSALS_EVERY_MS: integer(100, 3_600_000).default(10_000),
  /** How long after SIGTERM connections are still accepted, so that load balancers see that readiness is gone. */
  DRAIN_DELAY_MS: integer(0, 60_000).default(0),
});
/** Loopback addresses mean one and the same to whoever can reach them. */
const loopback = /^(?:localhost|127(?:\.\d+){3}|\[?::1\]?)$/;

/** Where agents reach this gateway, without a slash at the end; undefined where nobody said so. */
export function publicUrlOf(
  { PUBLIC_URL, HOST }: IngressConfig,
  { isTls, port }: { isTls: boolean; port: number },
): string | undefined {
  if (PUBLIC_URL !== undefined) return PUBLIC_URL.replace(/\/+$/, "");
  if (!loopback.test(HOST)) return undefined;
  const host = HOST.includes(":") && !HOST.startsWith("[") ? `[${HOST}]` : HOST;
  return `${isTls ? "https" : "http"}://${host}:${port}`;
}

export type IngressConfig = z.infer<typeof configSchema>;
