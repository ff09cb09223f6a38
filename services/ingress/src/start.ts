import { setTimeout as sleep } from "node:timers/promises";
import { AuditLog, watchSection } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { A2a, type A2aParts } from "./a2a/a2a.ts";
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
import { DoorRecord } from "./door-record.ts";
import { openIdentity } from "./identity.ts";
import { KeptRequests } from "./kept-requests.ts";
import { Leases } from "./leases.ts";
import { Mcp } from "./mcp.ts";
import { Passage, type PassageParts } from "./passage.ts";
import { PathCalls } from "./path-calls.ts";
import { UnknownCallers } from "./refusals.ts";
import { createServer, listen } from "./server.ts";
import { SseSessions } from "./sse-sessions.ts";
import { Streams } from "./streams.ts";
import { openTlsDoor } from "./tls-door.ts";

/** Connections that become idle while ingress stops would otherwise stay for their whole keep-alive time. */
const idleSweepMs = 100;

/** Opens ingress; the listener comes last, so that nothing is accepted before it can be carried out. */
export async function start(context: Context<IngressConfig & BaseConfig>): Promise<void> {
  const { config, bus, log, metrics, scope, report } = context;
  const audit = scope.use(new AuditLog(bus));
  const callers = scope.use(new UnknownCallers(audit, { everyMs: config.REFUSALS_EVERY_MS, instance: bus.instance }));
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
  const keepAliveMs = config.SSE_KEEP_ALIVE_MS;
  const streams = scope.use(new Streams(bus, keepAliveMs));
  const budget = new BodyBudget(config.MAX_HELD_BODY_BYTES);
  const batches = new Batches({ budget, log, keepAliveMs, maxMessages: config.MAX_BATCH_MESSAGES });
  const passage = openPassage(context, { tenants, leases, counted, streams, audit, callers });
  const mcp = new Mcp({ bus, tenants, streams, passage, budget, batches });
  let listening = config.PORT;
  const publicUrl = () => publicUrlOf(config, { isTls: tls !== undefined, port: listening });
  const a2a = await openA2a(context, { ...identity, bus, streams, passage, budget, publicUrl });
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
  const paths = new PathCalls({ mcp, tenants, budget, publicUrl: config.PUBLIC_URL });
  const [push, door] = [openPushReceiver(context, budget), new DoorRecord({ passage, callers, tenants, streams })];
  const app = createServer({ config, log, metrics, ...identity, mcp, ...a2a, sse, paths, tls, push, door });
  callers.watch(app.server);
  const connections = new Connections(app.server);
  const port = (listening = await listen(app, config));
  report(() => ({
    port,
    calls: connections.requests,
    streams: streams.size,
    sse_sessions: sse.size,
    slots: counted.size,
    tenants_version: tenants.version,
  }));
  log.info({ url: `http${tls === undefined ? "" : "s"}://${config.HOST}:${port}` }, "listening");
  scope.defer(() => drain({ app, streams, sse, connections }, config.DRAIN_DELAY_MS));
}

interface Draining {
  readonly app: ReturnType<typeof createServer>;
  readonly streams: Streams;
  readonly sse: SseSessions;
  readonly connections: Connections;
}

/** Takes nothing new, and resolves when all that was taken is over. */
async function drain({ app, streams, sse, connections }: Draining, delayMs: number): Promise<void> {
  await sleep(delayMs);
  const closed = app.close();
  streams.endAll();
  const ended = sse.stop();
  await sweepUntil(connections, Promise.all([closed, ended]));
}

function openPassage(
  { bus, config, metrics }: Context<IngressConfig & BaseConfig>,
  {
    leases,
    ...parts
  }: Pick<PassageParts, "tenants" | "counted" | "streams" | "audit" | "callers"> & { readonly leases: Leases },
): Passage {
  const { audit, counted, tenants } = parts;
  const timeoutMs = config.ADMISSION_TIMEOUT_MS;
  const admission = new Admission({ bus, audit, leases, counted, timeoutMs });
  const argumentRules = new ArgumentRules({ bus, timeoutMs });
  const kept = new KeptRequests({ audit, metrics, keptOf: (tenant) => tenants.find(tenant)?.kept });
  return new Passage({ ...parts, bus, admission, argumentRules, kept });
}

interface A2aOptions extends Omit<A2aParts, "cards" | "publicUrl">, Pick<CardDeskParts, "authentication"> {
  /** Where agents reach this gateway; known once it listens. */
  readonly publicUrl: () => string | undefined;
}

/** What requests by A2A are carried out by. */
async function openA2a({ config }: Context<IngressConfig>, { publicUrl, authentication, ...parts }: A2aOptions) {
  const { bus, tenants, passage, streams, budget } = parts;
  const keys = await readCardKeys(config.CARD_SIGNING_KEY);
  const pushes = config.PUSH_SIGNING_KEY !== undefined && (config.PUSH_PUBLIC_URL ?? config.PUBLIC_URL) !== undefined;
  const cards = new Cards({ bus, tenants, publicUrl, keys, pushes });
  const a2a = new A2a({ ...parts, cards, publicUrl: config.PUBLIC_URL });
  return {
    a2a,
    cardDesk: new CardDesk({ cards, tenants, passage, streams, authentication }),
    taskPaths: new TaskPaths({ a2a, budget }),
  };
}

async function sweepUntil(connections: Connections, ended: Promise<unknown>): Promise<void> {
  const sweep = setInterval(() => connections.closeIdle(), idleSweepMs);
  await ended.finally(() => clearInterval(sweep));
}
