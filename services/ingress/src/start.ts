import { setTimeout as sleep } from "node:timers/promises";
import { OutcomeLog, watchSection } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { A2a } from "./a2a/a2a.ts";
import { readCardKeys } from "./a2a/card-keys.ts";
import { CardDesk, type CardDeskParts } from "./a2a/card-desk.ts";
import { Cards } from "./a2a/cards.ts";
import { openPushReceiver } from "./a2a/push.ts";
import { TaskPaths } from "./a2a/task-paths.ts";
import { Admission } from "./admission.ts";
import { ArgumentRules } from "./arguments.ts";
import { Batches } from "./batches.ts";
import { BodyBudget } from "./budget.ts";
import { ClientAuthorities } from "./client-authorities.ts";
import { publicUrlOf, type IngressConfig } from "./config.ts";
import { Connections } from "./connections.ts";
import { CountedCalls } from "./counted-calls.ts";
import { openIdentity } from "./identity.ts";
import { Leases } from "./leases.ts";
import { Mcp } from "./mcp.ts";
import { Passage } from "./passage.ts";
import { PathCalls } from "./path-calls.ts";
import { createServer, listen, type ServerParts } from "./server.ts";
import { SseSessions } from "./sse-sessions.ts";
import { Streams } from "./streams.ts";
import { openTlsDoor } from "./tls-door.ts";

/** Connections that become idle while ingress stops would otherwise stay for their whole keep-alive time. */
const idleSweepMs = 100;

/** Opens ingress; the listener comes last, so that nothing is accepted before it can be carried out. */
export async function start(context: Context<IngressConfig & BaseConfig>): Promise<void> {
  const { config, bus, log, metrics, scope, report } = context;
  const authorities = new ClientAuthorities();
  const tls = openTlsDoor(context, authorities);
  const identity = openIdentity(context, authorities);
  const { tenants } = identity;
  const counted = scope.use(new CountedCalls(bus));
  const leases = scope.use(new Leases(counted));
  scope.use(
    await watchSection(bus, "ingress", async (sections) => {
      if (await identity.configure(sections)) leases.configure(tenants.version);
    }),
  );
  await identity.followIssued();
  identity.requireUsable();
  const outcomes = scope.use(new OutcomeLog(bus));
  const streams = scope.use(new Streams(bus, config.SSE_KEEP_ALIVE_MS));
  const admission = new Admission({ bus, leases, counted, timeoutMs: config.ADMISSION_TIMEOUT_MS });
  const budget = new BodyBudget(config.MAX_HELD_BODY_BYTES);
  const keepAliveMs = config.SSE_KEEP_ALIVE_MS;
  const batches = new Batches({ budget, log, keepAliveMs, maxMessages: config.MAX_BATCH_MESSAGES });
  const argumentRules = new ArgumentRules({ bus, timeoutMs: config.ADMISSION_TIMEOUT_MS });
  const passage = new Passage({ bus, tenants, admission, argumentRules, counted, streams, outcomes });
  const mcp = new Mcp({ bus, tenants, streams, passage, budget, batches });
  const door = { isTls: tls !== undefined, port: config.PORT };
  const agentDoors = await openAgentDoors(context, { ...identity, streams, passage, budget, door });
  const sse = new SseSessions({
    bus,
    mcp,
    tenants,
    batches,
    budget,
    log,
    keepAliveMs,
    maxStreams: config.MAX_SSE_SESSIONS,
    maxStreamsPerAgent: config.MAX_SSE_SESSIONS_PER_AGENT,
  });
  const paths = new PathCalls({ mcp, tenants, budget, log, publicUrl: config.PUBLIC_URL });
  const push = openPushReceiver(context, budget);
  const app = createServer({ config, log, metrics, ...identity, mcp, ...agentDoors, sse, paths, tls, push });
  const connections = new Connections(app.server);
  const port = (door.port = await listen(app, config));
  report(() => ({
    port,
    calls: connections.requests,
    streams: streams.size,
    sse_sessions: sse.size,
    slots: counted.size,
    tenants_version: tenants.version,
  }));
  log.info({ url: `http${tls === undefined ? "" : "s"}://${config.HOST}:${port}` }, "listening");
  scope.defer(async () => {
    await sleep(config.DRAIN_DELAY_MS);
    const closed = app.close();
    streams.endAll();
    const ended = sse.stop();
    const sweep = setInterval(() => connections.closeIdle(), idleSweepMs);
    await Promise.all([closed, ended]).finally(() => clearInterval(sweep));
  });
}

interface AgentDoorParts extends Pick<CardDeskParts, "tenants" | "streams" | "passage" | "authentication"> {
  readonly budget: BodyBudget;
  /** Where ingress listens, as far as it does. */
  readonly door: { readonly isTls: boolean; readonly port: number };
}

/** What carries requests by A2A out. */
async function openAgentDoors(
  { bus, config, log }: Context<IngressConfig>,
  { door, budget, ...parts }: AgentDoorParts,
): Promise<Pick<ServerParts, "a2a" | "cardDesk" | "taskPaths">> {
  const cards = new Cards({
    bus,
    tenants: parts.tenants,
    publicUrl: () => publicUrlOf(config, door),
    keys: await readCardKeys(config.CARD_SIGNING_KEY),
    pushes: config.PUSH_SIGNING_KEY !== undefined && (config.PUSH_PUBLIC_URL ?? config.PUBLIC_URL) !== undefined,
  });
  const a2a = new A2a({ bus, cards, budget, publicUrl: config.PUBLIC_URL, ...parts });
  return { a2a, cardDesk: new CardDesk({ cards, ...parts }), taskPaths: new TaskPaths({ a2a, budget, log }) };
}
