import { AuditLog, Presence, watchToolPins } from "@sluice/bus";
import { subjects, type CallHead, type Endpoint, type OwnVerb, type Protocol } from "@sluice/contracts";
import { createAddressGuard } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import { servingFor, type BaseConfig, type Context } from "@sluice/runtime";
import { measureBreakers } from "./breaker-metric.ts";
import { AgentCalls, type AgentCallsOptions } from "./a2a/agent-calls.ts";
import { AgentDirectory } from "./a2a/agent-directory.ts";
import { Agents } from "./a2a/agents.ts";
import { answerCardQuestion } from "./a2a/cards.ts";
import { HeldBytes } from "./a2a/held-bytes.ts";
import { TaskLists } from "./a2a/task-lists.ts";
import { openPushOperations, startDispatching } from "./a2a/push.ts";
import { TaskRegistry } from "./a2a/task-registry.ts";
import { Watches } from "./a2a/watches.ts";
import { callMetrics } from "./call-metrics.ts";
import { Calls } from "./calls.ts";
import type { EgressConfig } from "./config.ts";
import type { ConnectedEndpoints, ConnectedOptions, Reachable } from "./connected-endpoints.ts";
import { PinBook } from "./definitions/pin-book.ts";
import { measureQuarantine } from "./definitions/quarantine-metric.ts";
import { RelayedTools } from "./definitions/relayed-tools.ts";
import { ToolGate } from "./definitions/tool-gate.ts";
import { followConf } from "./follow-conf.ts";
import { KeptAnswers } from "./kept-answers.ts";
import { Principals } from "./principals.ts";
import { ListPages } from "./list-pages.ts";
import { Mediator } from "./mediation/mediator.ts";
import { Relay } from "./relay.ts";
import { Replies } from "./replies.ts";
import { Egress, type EgressParts } from "./service.ts";
import { Upstreams } from "./upstreams.ts";

const defaultTimeoutMs = 300_000;
/** What all replicas together fill of REPLIES at most; the rest is for what is on its way there. */
const filledPart = 0.75;
/** Left for the streams to be stored once they were told to end. */
const endingMs = 5_000;

/** Opens egress: connections outlive calls, calls outlive the subscription that brings them. */
export async function start(context: Context<EgressConfig & BaseConfig>): Promise<void> {
  const { config, bus, log, scope, nobodyWaits } = context;
  const audit = scope.use(new AuditLog(bus));
  const { upstreams, agents } = openEndpoints(context);
  const calls = openCalls(context, { mcp: upstreams, a2a: agents });
  const all = Object.values(calls);
  const { book, ...ways } = openWays(context, upstreams);
  const directory = new AgentDirectory({ agents, log });
  const agentCalls = openAgentCalls(context, { agents, directory, replies: ways.replies, audit });
  const kept = new KeptAnswers(audit, context.metrics);
  const egress = new Egress({ bus, log, upstreams, agents, audit, calls, agentCalls, kept, ...ways });
  scope.use(await watchToolPins(bus, book));
  await followConf(context, { egress, endpoints: [upstreams, agents] });
  scope.use(new Presence(bus, "ingress", (instance) => all.forEach((one) => one.readerDied(instance))));
  bus.listen(subjects.ownAll, (message) => {
    egress.heed(message.subject.slice(message.subject.lastIndexOf(".") + 1) as OwnVerb, message);
  });
  const stopping = stopClock(() => (nobodyWaits() ? 0 : Math.max(0, config.SHUTDOWN_DEADLINE_MS - endingMs)));
  const finish = () => Promise.all(all.map((one) => one.finish(stopping.leftMs())));
  scope.defer(async () => void (await finish()));
  // Answers that parked calls wait for come as calls of this replica's own, until none waits any more.
  scope.use(bus.listen(subjects.callOf(bus.instance), (message) => egress.take(message)));
  scope.defer(async () => {
    do await Promise.all([finish(), ways.mediator.finish(stopping.leftMs())]);
    while (stopping.leftMs() > 0 && (all.some(({ size }) => size > 0) || ways.mediator.isAwaited));
  });
  if (config.EGRESS_POOLS.includes("a2a")) {
    startDispatching(context, { agents, directory, audit });
    const serve = servingFor(context, (reason) => log.warn({ reason }, "a question about a card was not answered"));
    const reply = (subject: string, payload: Uint8Array) => bus.tell(subject, payload);
    serve(subjects.ask("egress", "card"), (message) => answerCardQuestion({ agents, directory, reply }, message));
  }
  for (const pool of config.EGRESS_POOLS) {
    const taking = bus.serve(subjects.call(pool), (message) => egress.take(message), `egress-${pool}`);
    scope.defer(() => taking.drain());
  }
  log.info({ pools: config.EGRESS_POOLS }, "taking calls");
}

/** What is left of the time to stop in, from when it is first asked for. */
function stopClock(deadlineMs: () => number): { leftMs: () => number } {
  let until: number | undefined;
  return {
    leftMs: () => {
      until ??= Date.now() + deadlineMs();
      return Math.max(0, until - Date.now());
    },
  };
}

type Endpoints = Readonly<Record<Protocol, ConnectedEndpoints<Reachable & Pick<Endpoint, "idleTimeoutMs">>>>;

function openCalls(
  { config, bus, metrics, scope }: Context<EgressConfig & BaseConfig>,
  endpoints: Endpoints,
): Record<Protocol, Calls> {
  const metricsOf = callMetrics(metrics);
  const open = (protocol: Protocol, maxStreamsPerAgent: number) => {
    const endpointOf = ({ tenant, server }: CallHead) => endpoints[protocol].find(tenant, server)?.endpoint;
    return scope.use(
      new Calls({
        bus,
        metrics: metricsOf(protocol),
        maxInFlight: config.EGRESS_MAX_IN_FLIGHT,
        maxCallsPerAgent: config.EGRESS_MAX_CALLS_PER_AGENT,
        maxStreamsPerAgent,
        unreadTimeoutMs: config.EGRESS_UNREAD_TIMEOUT_MS,
        responseTimeoutMs: (head) => endpointOf(head)?.responseTimeoutMs ?? defaultTimeoutMs,
        idleTimeoutMs: (head) => endpointOf(head)?.idleTimeoutMs,
      }),
    );
  };
  return {
    mcp: open("mcp", config.EGRESS_MAX_STREAMS_PER_AGENT),
    a2a: open("a2a", config.EGRESS_MAX_WATCHES_PER_AGENT),
  };
}

function openReplies({ config, bus, scope }: Context<EgressConfig & BaseConfig>): Replies {
  const replicas = scope.use(new Presence(bus, "egress", () => {}));
  return new Replies(bus, {
    maxAnswerBytes: config.EGRESS_MAX_ANSWER_BYTES,
    mostBytes: () => (filledPart * config.REPLIES_MAX_BYTES) / Math.max(1, replicas.count),
    maxAgeMs: config.REPLIES_MAX_AGE_MS,
  });
}

function openEndpoints({ config, log, metrics, scope, secrets }: Context<EgressConfig & BaseConfig>) {
  const guard = createAddressGuard(config.UPSTREAM_NETWORKS);
  const tokenServers = scope.use(new GuardedServers({ guard }));
  const options: ConnectedOptions = {
    connections: config.EGRESS_CONNECTIONS_PER_UPSTREAM,
    waiting: config.EGRESS_MAX_WAITING_PER_UPSTREAM,
    guard,
    breakerFailures: config.EGRESS_BREAKER_FAILURES,
    breakerOpenMs: config.EGRESS_BREAKER_OPEN_MS,
    log,
    secrets,
    tokens: {
      reach: (url, tls) => tokenServers.reach(url, tls),
      report: (problem) => log.warn({ problem }, "no access token"),
    },
  };
  const upstreams = scope.use(new Upstreams(options));
  const agents = scope.use(new Agents(options));
  measureBreakers([upstreams, agents], metrics);
  return { upstreams, agents };
}

function openAgentCalls(
  context: Context<EgressConfig & BaseConfig>,
  { audit, ...parts }: Pick<AgentCallsOptions, "agents" | "directory" | "replies"> & { readonly audit: AuditLog },
): AgentCalls {
  const { bus, config } = context;
  const { agents, replies } = parts;
  const pushes = openPushOperations(context, parts);
  const registry = new TaskRegistry(bus, pushes);
  const held = new HeldBytes(config.EGRESS_MAX_HELD_BYTES);
  return new AgentCalls({
    ...parts,
    registry,
    pushes,
    lists: new TaskLists({ bus, replies, registry }),
    held,
    watches: new Watches({ bus, agents, replies, registry, audit, held }),
    maxAnswerBytes: config.EGRESS_MAX_ANSWER_BYTES,
  });
}

/** The two ways that a call can take: to one upstream as it is, or mediated. What changes at one concerns both. */
function openWays(
  context: Context<EgressConfig & BaseConfig>,
  upstreams: Upstreams,
): Pick<EgressParts, "replies" | "relay" | "mediator"> & { book: PinBook } {
  const { bus, log, config, scope } = context;
  const principals = new Principals(bus);
  const maxListBytes = config.EGRESS_MAX_LIST_BYTES;
  const maxAnswerBytes = config.EGRESS_MAX_ANSWER_BYTES;
  const replies = openReplies(context);
  const pages = new ListPages();
  const book: PinBook = new PinBook((place) =>
    mediator.changes.heed({ ...place, method: "notifications/tools/list_changed", by: "pins" }),
  );
  measureQuarantine(book, context.metrics);
  const gate = new ToolGate({ bus, log, book, modeOf: (place) => upstreams.modeOf(place) });
  const mediator: Mediator = scope.use(
    new Mediator({
      bus,
      log,
      upstreams,
      principals,
      replies,
      gate,
      maxAnswerBytes: maxListBytes,
      mostParkedPerAgent: config.EGRESS_MAX_PARKED_PER_AGENT,
      sessionLimits: {
        mostPerAgent: config.EGRESS_MAX_SESSIONS_PER_AGENT,
        ttlMs: config.SESSION_TTL_SECONDS * 1000,
      },
      onChange: (place, methods) => pages.drop(place, methods),
    }),
  );
  const relay = new Relay({
    upstreams,
    principals,
    replies,
    maxListBytes,
    maxAnswerBytes,
    pages,
    tools: new RelayedTools({
      gate,
      list: (head, capabilities, isAnew) => mediator.tools(head, capabilities, isAnew),
    }),
    onChange: (place, method) => mediator.changes.say(place, method),
    isTakenOver: (call, refusal) => mediator.takesOver(call, refusal),
  });
  return { replies, relay, mediator, book };
}
