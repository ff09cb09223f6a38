import { upstreamNetworks } from "@sluice/net";
import { integer, list, oneOf, pemFile } from "@sluice/runtime";
import { z } from "zod";
import { shortestToken } from "./admin/operators.ts";

const fewestCharacters = 8;

const adminToken = z
  .string({
    error: `is missing: set it to at least ${shortestToken} random characters, such as from: openssl rand -hex 32`,
  })
  .min(shortestToken, `is too short: it takes at least ${shortestToken} random characters`)
  .refine(
    (token) =>
      new Set(token).size >= fewestCharacters &&
      !/change.?me|password|secret|default|example|admin.?token/i.test(token),
    "is a default or guessable value: make a random one, such as with: openssl rand -hex 32",
  );

/** What control reads from the environment beside the base settings. */
export const configSchema = z.object({
  CONF_DIR: z.string().min(1, "must name a directory").default("conf"),
  ADMIN_HOST: z.string().default("127.0.0.1"),
  ADMIN_PORT: integer(0, 65_535).default(8090),
  /** Further values of the Host header that are served, beside loopback names. */
  ADMIN_ALLOWED_HOSTS: list.default([]),
  ADMIN_TOKEN: adminToken,
  /** Certificate with its chain, and key, of the admin API; without them it speaks plain HTTP. */
  ADMIN_TLS_CERT_FILE: pemFile,
  ADMIN_TLS_KEY_FILE: pemFile,
  ADMIN_TLS_MIN_VERSION: oneOf(["1.2", "1.3"]).default("1.2"),
  /** Further operators, each with a role and the hashes of their tokens. */
  OPERATORS_FILE: z.string().min(1, "must name a file").optional(),
  /** Networks that upstreams may be in beside public addresses; the same as egress has. */
  UPSTREAM_NETWORKS: upstreamNetworks,
  /** Versions of tenants.yaml that are kept, and what they may have together, compressed. */
  CONF_HISTORY_MAX_EDITIONS: integer(1, 10_000).default(100),
  CONF_HISTORY_MAX_BYTES: integer(64 * 1024, 4 * 1024 ** 3).default(64 * 1024 ** 2),
  NATS_REPLICAS: integer(1, 5).default(1),
  AUDIT_MAX_BYTES: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(1024 ** 3),
  /** Of stored events as compliance gets them: how many bytes of them, and for how long. */
  TRAIL_MAX_BYTES: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(1024 ** 3),
  TRAIL_MAX_AGE_MS: integer(1_000, 3_650 * 86_400_000).default(7 * 86_400_000),
  /** Logs (tenants, or _gateway) whose readers have accounts of their own in NATS' configuration. */
  AUDITORS: list.default([]),
  REPLIES_MAX_BYTES: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(128 * 1024 ** 2),
  REPLIES_MAX_AGE_MS: integer(1_000, 86_400_000).default(300_000),
  /** Push notifications that wait to be delivered: bytes of all, and how many of one configuration. */
  PUSH_MAX_BYTES: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(256 * 1024 ** 2),
  PUSH_MAX_WAITING: integer(1, 100_000).default(128),
});
export type ControlConfig = z.infer<typeof configSchema>;
