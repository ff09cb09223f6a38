import type { AuditLog } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import type { BaseConfig, Context } from "@sluice/runtime";
import { Counter, Gauge } from "@sluice/telemetry";
import type { EgressConfig } from "../config.ts";
import type { Replies } from "../replies.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { Agents } from "./agents.ts";
import { Deliverer } from "./push-delivery.ts";
import { PushDispatcher } from "./push-dispatcher.ts";
import { PushOperations } from "./push-operations.ts";
import { PushRegistry } from "./push-registry.ts";
import { TaskReader } from "./push-task.ts";
import { Turns } from "./push-turns.ts";
import { Webhooks } from "./push-webhooks.ts";

type PushContext = Context<EgressConfig & BaseConfig>;

const mostHeld = 512;
const mostHeldPerTenant = mostHeld / 8;
/** Configurations that wait for one host: with all that they have in hand less than a tenant may have. */
const waitingPerHost = 8;

/** What calls need of push notifications. */
export function openPushOperations(
  { bus, config }: PushContext,
  { agents, replies }: { readonly agents: Agents; readonly replies: Replies },
): PushOperations {
  return new PushOperations({
    registry: new PushRegistry(bus),
    agents,
    replies,
    guard: createAddressGuard(config.PUSH_NETWORKS),
    keys: config.PUSH_SIGNING_KEY,
    publicUrl: config.PUSH_PUBLIC_URL?.replace(/\/+$/, ""),
    lifeMs: config.PUSH_TTL_SECONDS * 1_000,
  });
}

/** Delivers what waits in PUSH, for as long as this replica runs; to be called once it has its configuration: who is not in it is told nothing. */
export function startDispatching(
  context: PushContext,
  {
    agents,
    directory,
    audit,
  }: { readonly agents: Agents; readonly directory: AgentDirectory; readonly audit: AuditLog },
): void {
  const { bus, config, log, scope } = context;
  const { PUSH_CONNECTIONS_PER_HOST: atOnce, PUSH_TIMEOUT_MS: timeoutMs } = config;
  const guard = createAddressGuard(config.PUSH_NETWORKS);
  const deliverer = new Deliverer({
    registry: new PushRegistry(bus),
    agents,
    webhooks: scope.use(new Webhooks({ guard, timeoutMs, connectionsPerHost: atOnce })),
    tasks: new TaskReader({ agents, directory, maxBytes: config.EGRESS_MAX_ANSWER_BYTES }),
    turns: new Turns({ atOnce, waiting: waitingPerHost }),
    maxTries: config.PUSH_MAX_TRIES,
    maxRefusals: config.PUSH_MAX_REFUSALS,
    maxAgeMs: config.PUSH_MAX_AGE_SECONDS * 1_000,
  });
  const dispatcher: PushDispatcher = scope.use(
    new PushDispatcher({
      bus,
      log,
      deliverer,
      audit,
      counted: counterOf(context, () => dispatcher.pending()),
      ackWaitMs: config.PUSH_ACK_WAIT_MS,
      mostHeld,
      mostHeldPerTenant,
      firstRetryMs: config.PUSH_RETRY_FIRST_MS,
      longestRetryMs: config.PUSH_RETRY_LONGEST_MS,
    }),
  );
}

function counterOf({ metrics }: PushContext, pending: () => Promise<number>): (outcome: string) => void {
  const tries = new Counter({
    name: "sluice_push_deliveries_total",
    help: "Push notifications by what became of each try: delivered, again, busy, gone, dead",
    labelNames: ["outcome"],
    registers: [metrics],
  });
  new Gauge({
    name: "sluice_push_waiting",
    help: "Push notifications that no replica has taken yet",
    registers: [metrics],
    async collect() {
      this.set(await pending().catch(() => 0));
    },
  });
  return (outcome) => tries.inc({ outcome });
}
