import { AuditLog, CheckpointBucket } from "@sluice/bus";
import { gatewayLog } from "@sluice/contracts";
import { databaseOptions, type BaseConfig, type Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import { randomUUID } from "node:crypto";
import type { SignerConfig } from "./config.ts";
import { toFile, toHttp, toPostgres, toStream } from "./destinations.ts";
import { Publication } from "./publication.ts";
import { repeat } from "./repeat.ts";
import { createSignerMetrics } from "./signer-metrics.ts";
import { Signer } from "./signer.ts";
import { TreeStore } from "./tree-store.ts";

export type SignerContext = Context<SignerConfig & BaseConfig>;

/** Signs the trees of all logs at intervals, once more at the end, and publishes what it signed. */
export async function startSigner(context: SignerContext): Promise<void> {
  const { bus, config, log, scope } = context;
  const metrics = createSignerMetrics(context.metrics);
  const trees = scope.use(new TreeStore(databaseOptions(config, context)));
  const bucket = scope.use(await CheckpointBucket.open(bus));
  const trail = scope.use(new AuditLog(bus));
  const publications = openPublications(context, trees, metrics);
  const signer = new Signer({
    trees,
    bucket,
    key: config.SIGNER_KEY,
    origin: originOf(config),
    accepted: config.SIGNER_ACCEPT,
    metrics,
    log,
    publish: (checkpoint) => publications.forEach((publication) => publication.offer(checkpoint)),
    onRefusal: (refused, { reason }) =>
      trail.add({
        ...{ event: "action", id: randomUUID(), at: Date.now(), action: "audit.fork", result: "noted" },
        ...{ subject: refused, fault: reason, ...(refused !== gatewayLog && { tenant: refused }) },
      }),
  });
  let reachable = false;
  const stop = repeat(config.SIGNER_INTERVAL_MS, async () => {
    try {
      await signer.round();
      reachable = true;
    } catch (error) {
      reachable = false;
      metrics.failures.inc();
      log.warn({ error: describeError(error) }, "trees can't be signed now; they will be later");
    }
  });
  scope.defer(stop);
  context.requireReady(() => reachable);
  tellOfIt(context, { signer, publications, isReachable: () => reachable });
}

function originOf({ SIGNER_ORIGIN, SIGNER_KEY }: SignerConfig): string {
  return SIGNER_ORIGIN ?? SIGNER_KEY.name;
}

function openPublications(
  { bus, config, log, scope }: SignerContext,
  trees: TreeStore,
  metrics: ReturnType<typeof createSignerMetrics>,
): Publication[] {
  const { SIGNER_FILE: file, SIGNER_HTTP_URL: url, SIGNER_HTTP_TOKEN: token } = config;
  const destinations = [
    toPostgres(trees),
    toStream(bus),
    ...(file === undefined ? [] : [toFile(file)]),
    ...(url === undefined ? [] : [toHttp({ url, token })]),
  ];
  const publications = destinations.map((destination) => new Publication({ destination, metrics, log }));
  metrics.waiting(() => publications.map(({ name, waiting }) => [name, waiting] as const));
  scope.defer(async () => void (await Promise.all(publications.map((publication) => publication.stop()))));
  return publications;
}

interface Told {
  readonly signer: Signer;
  readonly publications: readonly Publication[];
  readonly isReachable: () => boolean;
}

function tellOfIt(context: SignerContext, { signer, publications, isReachable }: Told): void {
  context.report(() => ({
    postgres: isReachable() ? "connected" : "disconnected",
    verifierKey: context.config.SIGNER_KEY.verifierKey,
    origin: originOf(context.config),
    refused: Object.fromEntries([...signer.refused].map(([log, { reason }]) => [log, reason])),
    destinations: Object.fromEntries(
      publications.map(({ name, waiting, problem }) => [name, { waiting, ...(problem !== undefined && { problem }) }]),
    ),
  }));
  context.complain(() => [
    ...[...signer.refused].map(
      ([log, { reason }]) => `the audit log ${log} is not signed any more (${reason}): docs/audit.md says what to do`,
    ),
    ...publications.flatMap(({ name, problem }) =>
      problem === undefined ? [] : [`checkpoints can't be published (${name}): ${problem}`],
    ),
  ]);
}
