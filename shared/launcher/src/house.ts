import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { authorizationBlock } from "@sluice/bus";
import { serviceNames, type ServiceName } from "@sluice/contracts";
import { freePort } from "./free-port.ts";
import { startNats } from "./nats.ts";
import type { Part } from "./part.ts";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import { startReplica, type Replica } from "./replica.ts";
import { loadState, type HouseState } from "./state.ts";

export interface HouseOptions {
  readonly confDir: string;
  readonly dataDir: string;
  /** Of the first ingress replica; others get free ones. Default: a free port. */
  readonly port?: number;
  /** Replicas per service; default one. */
  readonly replicas?: Partial<Record<ServiceName, number>>;
  /** Added to the environment of every service. */
  readonly env?: Readonly<Record<string, string>>;
  /** Added to that of one service. */
  readonly envOf?: Partial<Record<ServiceName, Readonly<Record<string, string>>>>;
  readonly onProgress?: (line: string) => void;
}

/** Sluice whole on this machine: NATS, Redis, Postgres and every service, each in its own process. */
export interface House extends AsyncDisposable {
  /** The first ingress replica. */
  readonly url: string;
  readonly adminUrl: string;
  readonly adminToken: string;
  readonly parts: Readonly<Record<"nats" | "redis" | "postgres", Part>>;
  readonly replicas: readonly Replica[];
  of(service: ServiceName): Replica[];
  /** Starts one more replica; `port` counts for ingress only. */
  add(service: ServiceName, port?: number): Promise<Replica>;
  /** Settles when something ended that nobody asked to end. */
  readonly lost: Promise<string>;
}

/** This machine alone: where upstreams of a house may be unless UPSTREAM_NETWORKS of its environment says it. */
const ownNetworks = "127.0.0.0/8,::1/128";
const stopDeadlineMs = 30_000;
/** Ingress ends first and takes no more; what others need ends last. */
const stopOrder: readonly ServiceName[] = [
  "ingress",
  "egress",
  "session-manager",
  "rate-limit",
  "policy",
  "audit",
  "control",
];

/** Starts everything and resolves when all of it is ready. On failure nothing is left running. */
export async function startHouse(options: HouseOptions): Promise<House> {
  const dataDir = resolve(options.dataDir);
  const state = await loadState(dataDir);
  const scope = new AsyncDisposableStack();
  try {
    const parts = await startParts(dataDir, state, options);
    for (const part of Object.values(parts)) scope.defer(() => part.stop());
    const house = new RunningHouse({ ...options, dataDir }, state, parts);
    scope.defer(() => house.stopServices());
    await house.start();
    const stack = scope.move();
    house.onDispose = () => stack.disposeAsync();
    return house;
  } catch (error) {
    await scope.disposeAsync();
    throw error;
  }
}

async function startParts(dataDir: string, state: HouseState, { onProgress }: HouseOptions): Promise<House["parts"]> {
  const progress = onProgress === undefined ? {} : { onProgress };
  const config = `max_payload: 1MB\n${authorizationBlock((service) => JSON.stringify(state.natsPasswords[service]))}`;
  const started = await Promise.allSettled([
    startNats({ dataDir: join(dataDir, "nats"), config, ...progress }),
    startRedis({ dataDir: join(dataDir, "redis"), ...progress }),
    startPostgres({ dataDir: join(dataDir, "postgres"), ...progress }),
  ]);
  const failed = started.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    for (const result of started) if (result.status === "fulfilled") await result.value.stop();
    throw failed.reason;
  }
  const [nats, redis, postgres] = started.map((result) => (result as PromiseFulfilledResult<Part>).value);
  return { nats: nats as Part, redis: redis as Part, postgres: postgres as Part };
}

class RunningHouse implements House {
  readonly parts: House["parts"];
  readonly replicas: Replica[] = [];
  readonly adminToken: string;
  readonly lost: Promise<string>;
  onDispose: () => Promise<void> = () => Promise.resolve();
  readonly #options: HouseOptions;
  readonly #state: HouseState;
  readonly #lost = Promise.withResolvers<string>();
  #stopping = false;

  constructor(options: HouseOptions, state: HouseState, parts: House["parts"]) {
    this.#options = options;
    this.#state = state;
    this.parts = parts;
    this.adminToken = state.adminToken;
    this.lost = this.#lost.promise;
    for (const part of Object.values(parts)) void part.lost.then((what) => this.#lost.resolve(what));
  }

  get url(): string {
    return this.#first("ingress");
  }

  get adminUrl(): string {
    return this.#first("control");
  }

  of(service: ServiceName): Replica[] {
    return this.replicas.filter((replica) => replica.service === service && replica.process.running);
  }

  async start(): Promise<void> {
    const { replicas, port, onProgress } = this.#options;
    onProgress?.("starting the services");
    await Promise.all(
      serviceNames.flatMap((service) =>
        Array.from({ length: replicas?.[service] ?? 1 }, (_, index) =>
          this.add(service, index === 0 ? port : undefined),
        ),
      ),
    );
    await this.#writeRunFile();
  }

  async add(service: ServiceName, port?: number): Promise<Replica> {
    const { dataDir, confDir, env, envOf } = this.#options;
    const number = this.replicas.filter((replica) => replica.service === service).length + 1;
    const ownPort =
      service === "control" || service === "ingress"
        ? ((service === "ingress" ? port : undefined) ?? (await freePort()))
        : undefined;
    const replica = await startReplica({
      service,
      number,
      logFile: join(dataDir, "logs", `${service}-${number}.log`),
      env: {
        ...this.#partsEnv(service),
        ...ownEnv({ service, confDir, state: this.#state, port: ownPort }),
        ...env,
        ...envOf?.[service],
      },
      url: ownPort === undefined ? undefined : `http://127.0.0.1:${ownPort}`,
    });
    this.replicas.push(replica);
    void replica.process.exit.then(({ code, signal }) => {
      if (!this.#stopping && !replica.endedOnPurpose)
        this.#lost.resolve(`${service} ended (${signal ?? `exit code ${code}`}); see ${replica.logFile}`);
    });
    await replica.ready;
    return replica;
  }

  async stopServices(): Promise<void> {
    this.#stopping = true;
    for (const service of stopOrder) {
      const running = this.replicas.filter((replica) => replica.service === service);
      await Promise.all(running.map((replica) => replica.process.stop("SIGTERM", stopDeadlineMs)));
    }
    await rm(join(this.#options.dataDir, "run.json"), { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.onDispose();
  }

  #first(service: ServiceName): string {
    const url = this.replicas.find((replica) => replica.service === service)?.url;
    if (url === undefined) throw new Error(`${service} does not run`);
    return url;
  }

  /** Each service gets the addresses it needs and no other. */
  #partsEnv(service: ServiceName): Record<string, string> {
    const { nats, redis, postgres } = this.parts;
    const ownUser =
      nats.source === "url" ? {} : { NATS_USER: service, NATS_PASSWORD: this.#state.natsPasswords[service] };
    return {
      NATS_URL: nats.url,
      ...ownUser,
      ...((service === "rate-limit" || service === "session-manager") && { REDIS_URL: redis.url }),
      ...(service === "audit" && { DATABASE_URL: postgres.url }),
    };
  }

  async #writeRunFile(): Promise<void> {
    const { nats, redis, postgres } = this.parts;
    const run = {
      url: this.url,
      adminUrl: this.adminUrl,
      databaseUrl: postgres.url,
      services: this.replicas.map(({ service, number, process, health, url }) => ({
        name: service,
        number,
        pid: process.pid,
        health,
        url,
      })),
      parts: [nats, redis, postgres].map(({ name, pid, version, source }) => ({ name, pid, version, source })),
    };
    await writeFile(join(this.#options.dataDir, "run.json"), `${JSON.stringify(run, null, 2)}\n`, { mode: 0o600 });
  }
}

function ownEnv({
  service,
  confDir,
  state,
  port,
}: {
  service: ServiceName;
  confDir: string;
  state: HouseState;
  port: number | undefined;
}): Record<string, string> {
  if (service === "ingress") return { PORT: String(port) };
  const networks = { UPSTREAM_NETWORKS: process.env["UPSTREAM_NETWORKS"] ?? ownNetworks };
  if (service === "egress") return networks;
  if (service === "control")
    return { CONF_DIR: resolve(confDir), ADMIN_PORT: String(port), ADMIN_TOKEN: state.adminToken, ...networks };
  return {};
}
