import { OutcomeLog, Presence } from "@sluice/bus";
import { subjects, type OwnVerb } from "@sluice/contracts";
import { createAddressGuard } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import type { BaseConfig, Context } from "@sluice/runtime";
import { measureBreakers } from "./breaker-metric.ts";
import { Calls } from "./calls.ts";
import type { EgressConfig } from "./config.ts";
import { followConf } from "./follow-conf.ts";
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
  const upstreams = openUpstreams(context);
  const outcomes = scope.use(new OutcomeLog(bus));
  const calls = openCalls(context, upstreams);
  const ways = openWays(context, upstreams);
  const egress = new Egress({ bus, log, upstreams, outcomes, calls, ...ways });
  await followConf(context, { egress, upstreams });
  scope.use(new Presence(bus, "ingress", (instance) => calls.readerDied(instance)));
  bus.listen(subjects.ownAll, (message) => {
    egress.heed(message.subject.slice(message.subject.lastIndexOf(".") + 1) as OwnVerb, message);
  });
  const stopping = stopClock(() => (nobodyWaits() ? 0 : Math.max(0, config.SHUTDOWN_DEADLINE_MS - endingMs)));
  scope.defer(() => calls.finish(stopping.leftMs()));
  // Answers that parked calls wait for come as calls of this replica's own, until none waits any more.
  scope.use(bus.listen(subjects.callOf(bus.instance), (message) => egress.take(message)));
  scope.defer(async () => {
    do await Promise.all([calls.finish(stopping.leftMs()), ways.mediator.finish(stopping.leftMs())]);
    while (stopping.leftMs() > 0 && (calls.size > 0 || ways.mediator.isAwaited));
  });
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

function openCalls({ config, bus, metrics, scope }: Context<EgressConfig & BaseConfig>, upstreams: Upstreams): Calls {
  return scope.use(
    new Calls({
      bus,
      metrics,
      maxInFlight: config.EGRESS_MAX_IN_FLIGHT,
      maxCallsPerAgent: config.EGRESS_MAX_CALLS_PER_AGENT,
      maxStreamsPerAgent: config.EGRESS_MAX_STREAMS_PER_AGENT,
      unreadTimeoutMs: config.EGRESS_UNREAD_TIMEOUT_MS,
      responseTimeoutMs: (head) =>
        upstreams.find(head.tenant, head.server)?.endpoint.responseTimeoutMs ?? defaultTimeoutMs,
      idleTimeoutMs: (head) => upstreams.find(head.tenant, head.server)?.endpoint.idleTimeoutMs,
    }),
  );
}

function openReplies({ config, bus, scope }: Context<EgressConfig & BaseConfig>): Replies {
  const replicas = scope.use(new Presence(bus, "egress", () => {}));
  return new Replies(bus, {
    maxAnswerBytes: config.EGRESS_MAX_ANSWER_BYTES,
    mostBytes: () => (filledPart * config.REPLIES_MAX_BYTES) / Math.max(1, replicas.count),
    maxAgeMs: config.REPLIES_MAX_AGE_MS,
  });
}

function openUpstreams({ config, log, metrics, scope, secrets }: Context<EgressConfig & BaseConfig>): Upstreams {
  const guard = createAddressGuard(config.UPSTREAM_NETWORKS);
  const tokenServers = scope.use(new GuardedServers({ guard }));
  const upstreams = scope.use(
    new Upstreams({
      connections: config.EGRESS_CONNECTIONS_PER_UPSTREAM,
      waiting: config.EGRESS_MAX_WAITING_PER_UPSTREAM,
      guard,
      breakerFailures: config.EGRESS_BREAKER_FAILURES,
      breakerOpenMs: config.EGRESS_BREAKER_OPEN_MS,
      log,
      secrets,
      tokens: {
        reach: (url) => tokenServers.reach(url),
        report: (problem) => log.warn({ problem }, "no access token"),
      },
    }),
  );
  measureBreakers(upstreams, metrics);
  return upstreams;
}

/** The two ways that a call can take: to one upstream as it is, or mediated. What changes at one concerns both. */
function openWays(
  context: Context<EgressConfig & BaseConfig>,
  upstreams: Upstreams,
): Pick<EgressParts, "replies" | "relay" | "mediator"> {
  const { bus, log, config, scope } = context;
  const principals = new Principals(bus);
  const maxListBytes = config.EGRESS_MAX_LIST_BYTES;
  const maxAnswerBytes = config.EGRESS_MAX_ANSWER_BYTES;
  const replies = openReplies(context);
  const pages = new ListPages();
  const mediator = scope.use(
    new Mediator({
      bus,
      log,
      upstreams,
      principals,
      replies,
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
    onChange: (place, method) => mediator.changes.say(place, method),
    isTakenOver: (call, refusal) => mediator.takesOver(call, refusal),
  });
  return { replies, relay, mediator };
}
