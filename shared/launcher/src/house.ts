import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { serviceNames, type ServiceName } from "@sluice/contracts";
import { databaseEnv, prepareDatabases, type DatabaseUrls } from "./databases.ts";
import { freePort } from "./free-port.ts";
import type { Part } from "./part.ts";
import { poolEnv, replicaCount, type ReplicaPlan } from "./replica-plan.ts";
import { auditFilesDir, ownEnv } from "./own-env.ts";
import { startReplica, type Replica } from "./replica.ts";
import { writeRunFile } from "./run-file.ts";
import { startParts } from "./start-parts.ts";
import { loadState, type HouseState } from "./state.ts";

export interface HouseOptions extends ReplicaPlan {
  readonly confDir: string;
  readonly dataDir: string;
  /** Of the first ingress replica; others get free ones. Default: a free port. */
  readonly port?: number;
  /** Tenants whose part of the audit trail is read over NATS by a user of its own, `auditor-<tenant>`. */
  readonly auditors?: readonly string[];
  /** More nats.conf text, such as a `tls` block. */
  readonly natsConfig?: string;
  /** Added to the environment of every service. */
  readonly env?: Readonly<Record<string, string>>;
  /** Added to that of one service. */
  readonly envOf?: Partial<Record<ServiceName, Readonly<Record<string, string>>>>;
  /** Starts a replica that died anew where others of its service do its work meanwhile; else its end is the house's. */
  readonly restart?: boolean;
  readonly onProgress?: (line: string) => void;
}

/** Sluice whole on this machine: NATS, Redis, Postgres and every service, each in its own process. */
export interface House extends AsyncDisposable {
  /** The first ingress replica. */
  readonly url: string;
  readonly adminUrl: string;
  readonly adminToken: string;
  readonly parts: Readonly<Record<"nats" | "redis" | "postgres", Part>>;
  /** What each user of Postgres has as DATABASE_URL; the part's own URL is the owner's. */
  readonly databases: DatabaseUrls;
  readonly replicas: readonly Replica[];
  of(service: ServiceName): Replica[];
  /** Starts one more replica; `port` counts for ingress only. */
  add(service: ServiceName, port?: number): Promise<Replica>;
  /** Settles when something ended that nobody asked to end, and that is not started anew. */
  readonly lost: Promise<string>;
  /** Calls under way in the ingress replicas that answer. */
  callsUnderWay(): Promise<number>;
  /** Ends the calls that a stop waits for. */
  hurry(): void;
}

/** Before SIGTERM: see `nobodyWaits` in @sluice/runtime. */
const nobodyWaitsSignal = "SIGUSR2";
const stopDeadlineMs = 30_000;
const healthTimeoutMs = 1_000;
const firstRestartMs = 1_000;
const longestRestartMs = 30_000;
/** A replica that ran this long did not fail at its start. */
const steadyMs = 60_000;
/** Ingress ends first and takes no more; what others need ends last. */
const stopOrder: readonly ServiceName[] = [
  "ingress",
  "egress",
  "session-manager",
  "rate-limit",
  "policy",
  "audit",
  "signer",
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
    options.onProgress?.("preparing the database");
    const databases = await prepareDatabases(parts.postgres, state);
    const house = new RunningHouse({ ...options, dataDir }, state, { parts, databases });
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

class RunningHouse implements House {
  readonly parts: House["parts"];
  readonly databases: DatabaseUrls;
  readonly replicas: Replica[] = [];
  readonly adminToken: string;
  readonly lost: Promise<string>;
  onDispose: () => Promise<void> = () => Promise.resolve();
  readonly #options: HouseOptions;
  readonly #state: HouseState;
  readonly #lost = Promise.withResolvers<string>();
  readonly #failures = new Map<string, number>();
  /** Everything came up once. */
  #complete = false;
  readonly #numbers = new Map<ServiceName, number>();
  #stopping = false;
  /** Of the first ingress replica. */
  #port: number | undefined;

  constructor(options: HouseOptions, state: HouseState, { parts, databases }: Pick<House, "parts" | "databases">) {
    this.#options = options;
    this.#state = state;
    this.parts = parts;
    this.databases = databases;
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
    const { port = await freePort(), onProgress } = this.#options;
    this.#port = port;
    onProgress?.("starting the services");
    // Whoever starts before control is ready takes the configuration that an earlier run left on the bus.
    await this.#addAll("control", undefined);
    const others = serviceNames.filter((service) => service !== "control");
    await Promise.all(others.map((service) => this.#addAll(service, port)));
    await writeRunFile(this.#options.dataDir, this);
    this.#complete = true;
  }

  async #addAll(service: ServiceName, port: number | undefined): Promise<void> {
    const count = replicaCount(service, this.#options);
    await Promise.all(Array.from({ length: count }, (_, index) => this.add(service, index === 0 ? port : undefined)));
  }

  async add(service: ServiceName, port?: number): Promise<Replica> {
    const number = (this.#numbers.get(service) ?? 0) + 1;
    this.#numbers.set(service, number);
    const ownPort =
      service === "control" || service === "ingress"
        ? ((service === "ingress" ? port : undefined) ?? (await freePort()))
        : undefined;
    return this.#startNumbered(service, number, ownPort);
  }

  async callsUnderWay(): Promise<number> {
    const counts = this.of("ingress").map(async ({ health }) => {
      const answer = await fetch(`${health}/health`, { signal: AbortSignal.timeout(healthTimeoutMs) });
      return ((await answer.json()) as { calls?: number }).calls ?? 0;
    });
    const settled = await Promise.allSettled(counts);
    return settled.reduce((sum, count) => sum + (count.status === "fulfilled" ? count.value : 0), 0);
  }

  hurry(): void {
    for (const replica of this.of("ingress")) {
      replica.endedOnPurpose = true;
      replica.process.kill("SIGKILL");
    }
  }

  async #startNumbered(service: ServiceName, number: number, port: number | undefined): Promise<Replica> {
    const { dataDir, confDir, env, envOf, auditors = [] } = this.#options;
    if (service === "audit") await mkdir(auditFilesDir(dataDir), { recursive: true, mode: 0o700 });
    const replica = await startReplica({
      service,
      number,
      logFile: join(dataDir, "logs", `${service}-${number}.log`),
      env: {
        ...this.#partsEnv(service),
        ...ownEnv({ service, confDir, dataDir, state: this.#state, port, pushAddress: this.#pushAddress() }),
        ...(service === "control" && auditors.length > 0 && { AUDITORS: auditors.join(",") }),
        ...poolEnv(service, number, this.#options),
        ...env,
        ...envOf?.[service],
      },
      port,
    });
    this.replicas.push(replica);
    this.replicas.sort((one, other) => one.number - other.number);
    this.#watch(replica, port);
    if (this.#stopping) void replica.process.stop();
    await replica.ready;
    return replica;
  }

  #watch(replica: Replica, port: number | undefined): void {
    const { service, number, logFile } = replica;
    const startedAt = Date.now();
    void replica.process.exit.then(({ code, signal }) => {
      if (this.#stopping || replica.endedOnPurpose) return;
      const what = `${service} ${number} ended (${signal ?? `exit code ${code}`}); see ${logFile}`;
      const { restart, replicas = {}, onProgress } = this.#options;
      if (restart !== true || (replicas[service] ?? 1) < 2 || !this.#complete) return this.#lost.resolve(what);
      onProgress?.(`${what}; starting it anew`);
      if (Date.now() - startedAt > steadyMs) this.#failures.delete(`${service} ${number}`);
      void this.#restart(replica, port);
    });
  }

  /** Waits longer after each failure; a house that is told to stop meanwhile starts nothing any more. */
  async #restart(dead: Replica, port: number | undefined): Promise<void> {
    const { service, number } = dead;
    const name = `${service} ${number}`;
    const failures = this.#failures.get(name) ?? 0;
    this.#failures.set(name, failures + 1);
    await sleep(Math.min(longestRestartMs, firstRestartMs * 2 ** failures), undefined, { ref: false });
    if (this.#stopping) return;
    this.replicas.splice(this.replicas.indexOf(dead), 1);
    try {
      await this.#startNumbered(service, number, port);
      await writeRunFile(this.#options.dataDir, this);
      this.#options.onProgress?.(`${name} is back`);
    } catch (error) {
      if (!this.#stopping) this.#options.onProgress?.((error as Error).message);
    }
  }

  async stopServices(): Promise<void> {
    this.#stopping = true;
    for (const service of stopOrder) {
      const running = this.replicas.filter((replica) => replica.service === service);
      // Every ingress is gone by now, and with them whoever read what egress still works on.
      if (service === "egress") for (const { process } of running) process.kill(nobodyWaitsSignal);
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

  /** Agents on this machine reach it at its own address, where none is said. */
  #pushAddress(): Record<string, string> {
    const { env, envOf } = this.#options;
    const said = { ...process.env, ...env, ...envOf?.ingress };
    const isSaid = ["PUBLIC_URL", "PUSH_PUBLIC_URL", "TLS_CERT_FILE"].some((name) => said[name] !== undefined);
    return isSaid ? {} : { PUSH_PUBLIC_URL: `http://127.0.0.1:${this.#port}` };
  }

  /** Each service gets the addresses it needs and no other. */
  #partsEnv(service: ServiceName): Record<string, string> {
    const { nats, redis } = this.parts;
    const ownUser =
      nats.source === "url" ? {} : { NATS_USER: service, NATS_PASSWORD: this.#state.natsPasswords[service] };
    return {
      NATS_URL: nats.url,
      ...ownUser,
      ...((service === "rate-limit" || service === "session-manager") && { REDIS_URL: redis.url }),
      ...databaseEnv(service, this.databases),
    };
  }
}
