import { upstreamNetworks } from "@sluice/net";
import { integer, keyRing, listOf } from "@sluice/runtime";
import { z } from "zod";

export const configSchema = z.object({
  /** Whose calls this replica takes; with one pool each, MCP and A2A traffic never share a process. */
  EGRESS_POOLS: listOf(["mcp", "a2a"]).default(["mcp", "a2a"]),
  /** Calls under way at once; more are answered with 503. */
  EGRESS_MAX_IN_FLIGHT: integer(1, 100_000).default(8_000),
  /** Connections to one upstream of one tenant for calls, and as many for streams of the server's own messages. */
  EGRESS_CONNECTIONS_PER_UPSTREAM: integer(1, 10_000).default(1_024),
  /** Calls that wait for one of them; more are answered with 503. Streams don't wait. */
  EGRESS_MAX_WAITING_PER_UPSTREAM: integer(0, 100_000).default(256),
  /** Of one agent at once; more are answered with 503. */
  EGRESS_MAX_CALLS_PER_AGENT: integer(1, 100_000).default(512),
  /** Multi-round calls of one agent that wait for its answers; each holds a connection, and the oldest gives way to a newer. */
  EGRESS_MAX_PARKED_PER_AGENT: integer(1, 100_000).default(64),
  /** Streams of a server's own messages (GET) of one agent at once; more are answered with 503. */
  EGRESS_MAX_STREAMS_PER_AGENT: integer(1, 100_000).default(64),
  /** Tasks of one A2A agent that one calling agent has this replica watch at once; more are answered with 503. */
  EGRESS_MAX_WATCHES_PER_AGENT: integer(1, 100_000).default(1_024),
  /** Sessions with one upstream that egress opens for one agent without any, and its HTTP+SSE connections; more: 503. */
  EGRESS_MAX_SESSIONS_PER_AGENT: integer(1, 100_000).default(128),
  /** How long an unused session is kept, as session-manager has it. */
  SESSION_TTL_SECONDS: integer(1, 30 * 86_400).default(3_600),
  /** How long an answer goes on that its client left and did not come back for. */
  EGRESS_UNREAD_TIMEOUT_MS: integer(1_000, 3_600_000).default(300_000),
  /** Largest list answer that is filtered; larger ones are refused, because they cannot be filtered. */
  EGRESS_MAX_LIST_BYTES: integer(1_024, 256 * 1024 * 1024).default(16 * 1024 * 1024),
  /** Largest JSON answer of an upstream that is relayed; streams have no end. */
  EGRESS_MAX_ANSWER_BYTES: integer(1024 * 1024, 4 * 1024 ** 3).default(128 * 1024 * 1024),
  /** Large bodies of A2A calls that are held whole, all together; those of one agent get half of it at most, and more: 503. */
  EGRESS_MAX_HELD_BYTES: integer(1024 * 1024, 64 * 1024 ** 3).default(256 * 1024 * 1024),
  /** The bounds of REPLIES, as control has them. */
  REPLIES_MAX_BYTES: integer(1024 * 1024, Number.MAX_SAFE_INTEGER).default(128 * 1024 ** 2),
  REPLIES_MAX_AGE_MS: integer(1_000, 86_400_000).default(300_000),
  /** Failures of one upstream of one tenant in a row after which calls to it are answered with 503; 0: never. */
  EGRESS_BREAKER_FAILURES: integer(0, 100_000).default(10),
  /** How long they are, and then how often one call is let through as a probe. */
  EGRESS_BREAKER_OPEN_MS: integer(100, 3_600_000).default(5_000),
  /** What the addresses that agents are told for push notifications are signed with, as ingress has it; without one there are none. */
  PUSH_SIGNING_KEY: keyRing.optional(),
  /** Where agents reach the gateway with push notifications, where that is not PUBLIC_URL of ingress. */
  PUSH_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: "must be a URL such as https://gateway.example.com" })
    .optional(),
  /** How long an agent may tell of a task at such an address. */
  PUSH_TTL_SECONDS: integer(60, 10 * 365 * 86_400).default(30 * 86_400),
  /** Networks that clients' webhooks may be in beside public addresses. */
  PUSH_NETWORKS: upstreamNetworks,
  /** How long a webhook may take, and how many notifications it gets at once from each replica. */
  PUSH_TIMEOUT_MS: integer(100, 60_000).default(10_000),
  PUSH_CONNECTIONS_PER_HOST: integer(1, 1_000).default(8),
  /** The first pause before another try, and the longest. */
  PUSH_RETRY_FIRST_MS: integer(10, 600_000).default(1_000),
  PUSH_RETRY_LONGEST_MS: integer(10, 86_400_000).default(900_000),
  /** When a notification is given up: by tries, by tries where the webhook refuses it, and by age. */
  PUSH_MAX_TRIES: integer(1, 10_000).default(150),
  PUSH_MAX_REFUSALS: integer(1, 1_000).default(3),
  PUSH_MAX_AGE_SECONDS: integer(1, 30 * 86_400).default(86_400),
  /** How long after a replica died what it had in hand comes to another. */
  PUSH_ACK_WAIT_MS: integer(1_000, 600_000).default(15_000),
  /** Networks that upstreams may be in beside public addresses. */
  UPSTREAM_NETWORKS: upstreamNetworks,
});
export type EgressConfig = z.infer<typeof configSchema>;
