import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountsBlock, Bus, ensureTopology, store } from "@sluice/bus";
import { encodeJson, subjects, type Intent, type Outcome, type ServiceName } from "@sluice/contracts";
import { startNats, startPostgres, type Part } from "@sluice/launcher";
import { auditSchema, connect as connectOwner, ensureLogin, migrate } from "@sluice/schema";
import { createLog, createMetrics } from "@sluice/telemetry";
import pg from "pg";
import { expect, vi } from "vitest";
import { OpenCalls } from "./open-calls-postgres.ts";
import { PostgresEvents } from "./events-postgres.ts";
import { startAudit } from "./service.ts";

export const password = "only-for-this-test";
export const ackWaitMs = 1_000;
/** The environment without what would keep the launcher from starting servers. */
const withoutServers = (env: NodeJS.ProcessEnv) => ({ ...env, NATS_URL: "", DATABASE_URL: "" });
export const patience = { timeout: 20_000, interval: 20 };
const writer = "trail_writer";

/** A real Postgres, and a database of its own for each test. */
export class TrailDatabases implements AsyncDisposable {
  readonly postgres: Part;
  readonly #dataDir: string;
  #numbers = 0;

  private constructor(postgres: Part, dataDir: string) {
    this.postgres = postgres;
    this.#dataDir = dataDir;
  }

  static async start(env: NodeJS.ProcessEnv): Promise<TrailDatabases> {
    const dataDir = await mkdtemp(join(tmpdir(), "sluice-audit-postgres-"));
    return new TrailDatabases(await startPostgres({ dataDir, env: withoutServers(env) }), dataDir);
  }

  /** One with the schema of the trail; `url` is the writer's. */
  async create(): Promise<TrailDatabase> {
    const name = `audit_${process.pid}_${this.#numbers++}`;
    const admin = new pg.Client({ connectionString: this.postgres.url });
    await admin.connect();
    await admin.query(`create database ${name}`);
    await admin.end();
    const ownersUrl = new URL(this.postgres.url);
    ownersUrl.pathname = `/${name}`;
    const owner = await connectOwner(ownersUrl.href);
    await migrate(owner, auditSchema);
    await ensureLogin(owner, { name: writer, password, memberOf: ["audit_writer"] });
    await owner.end();
    const url = new URL(ownersUrl);
    url.username = writer;
    url.password = password;
    const pool = new pg.Pool({ connectionString: ownersUrl.href, max: 2 });
    pool.on("error", () => {});
    return new TrailDatabase(pool, url.href);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.postgres.stop();
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}

export class TrailDatabase implements AsyncDisposable {
  readonly url: string;
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool, url: string) {
    this.#pool = pool;
    this.url = url;
  }

  /** As the owner. */
  async rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.#pool.query<Record<string, unknown>>(text, values)).rows;
  }

  /** Of events, but for those of emitters themselves. */
  async count(): Promise<number> {
    const [row] = await this.rows("select count(*)::int from audit_events where kind <> 'emitter'").catch(() => []);
    return Number(row?.["count"] ?? -1);
  }

  untilStored(count: number): Promise<void> {
    return vi.waitFor(async () => expect(await this.count()).toBe(count), patience);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.end();
  }
}

interface DeadLetter {
  readonly reason: string;
  readonly subject: string;
  /** Base64. */
  readonly data: string;
}

/** A real NATS with the streams. */
export class TrailBus implements AsyncDisposable {
  readonly nats: Part;
  readonly control: Bus;
  readonly ingress: Bus;
  readonly #dataDir: string;

  private constructor(nats: Part, { control, ingress }: { control: Bus; ingress: Bus }, dataDir: string) {
    this.nats = nats;
    this.control = control;
    this.ingress = ingress;
    this.#dataDir = dataDir;
  }

  static async start(env: NodeJS.ProcessEnv): Promise<TrailBus> {
    const dataDir = await mkdtemp(join(tmpdir(), "sluice-audit-nats-"));
    const config = accountsBlock({ password: () => JSON.stringify(password) });
    const nats = await startNats({ dataDir, config, env: withoutServers(env) });
    const connect = (service: ServiceName) => Bus.connect({ url: nats.url, service, user: service, pass: password });
    return new TrailBus(nats, { control: await connect("control"), ingress: await connect("ingress") }, dataDir);
  }

  connect(service: ServiceName): Promise<Bus> {
    return Bus.connect({ url: this.nats.url, service, user: service, pass: password });
  }

  /** Makes what is missing of the streams. */
  ensureStreams(auditMaxBytes = 64 << 20): Promise<void> {
    return ensureTopology(this.control, {
      replicas: 1,
      trailMaxBytes: 64 << 20,
      trailMaxAgeMs: 3_600_000,
      auditMaxBytes,
      repliesMaxBytes: 8 << 20,
      repliesMaxAgeMs: 60_000,
      pushMaxBytes: 8 << 20,
      pushMaxWaiting: 100,
    });
  }

  admit(...calls: Intent[]): Promise<void> {
    return this.admitFrom("i1", ...calls);
  }

  admitFrom(from: string, ...calls: Intent[]): Promise<void> {
    return this.send(subjects.admit("mcp", { policy: true, limit: true, session: false }), { from, calls });
  }

  conclude(...outcomes: Outcome[]): Promise<void> {
    return this.tell(...outcomes.map((one) => ({ event: "outcome", ...one })));
  }

  tell(...events: object[]): Promise<void> {
    return this.send(subjects.audit("ingress"), { from: "i1", events });
  }

  send(subject: string, message: unknown): Promise<void> {
    return store(this.ingress, { subject, payload: encodeJson(message) }, 5_000);
  }

  async lastDeadLetter(): Promise<DeadLetter> {
    const question = encodeJson({ last_by_subj: subjects.auditDead });
    const answer = await this.control.ask("$JS.API.STREAM.MSG.GET.AUDIT_DEAD", question, { timeoutMs: 5_000 });
    const { message } = JSON.parse(Buffer.from(answer.data).toString()) as { message: { data: string } };
    return JSON.parse(Buffer.from(message.data, "base64").toString()) as DeadLetter;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.control.close(), this.ingress.close()]);
    await this.nats.stop();
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}

export interface Replica {
  metric(name: string): Promise<number | undefined>;
  isReady(): boolean;
  health(): Record<string, unknown>;
  problems(): string[];
  stop(): Promise<void>;
}

/** A replica of the service in this process. */
export async function startReplica(world: {
  readonly bus: TrailBus;
  readonly url: string;
  readonly scope: AsyncDisposableStack;
}): Promise<Replica> {
  const bus = await world.bus.connect("audit");
  const parts = world.scope.use(new AsyncDisposableStack());
  parts.defer(() => bus.close());
  const metrics = createMetrics("audit");
  const ready: (() => boolean)[] = [];
  const reports: (() => Record<string, unknown>)[] = [];
  const complaints: (() => string[])[] = [];
  const database = { connectionString: world.url, ssl: false } as const;
  startAudit(
    {
      bus,
      log: createLog("audit", "silent"),
      metrics,
      scope: parts,
      report: (report) => void reports.push(report),
      complain: (problems) => void complaints.push(problems),
      requireReady: (check) => void ready.push(check),
    },
    {
      events: parts.use(new PostgresEvents(database)),
      calls: parts.use(new OpenCalls(database)),
      goneAfterMs: 6_000,
      ackWaitMs,
      batch: { weight: 500, waitMs: 50 },
    },
  );
  return {
    metric: async (name) => (await metrics.getSingleMetric(name)?.get())?.values[0]?.value,
    isReady: () => ready.every((check) => check()),
    health: () => Object.fromEntries(reports.flatMap((report) => Object.entries(report()))),
    problems: () => complaints.flatMap((tell) => tell()),
    stop: () => parts.disposeAsync(),
  };
}

export function intent(call: string, more: Partial<Intent> = {}): Intent {
  return {
    call,
    at: Date.now(),
    label: "mcp_proxy",
    tenant: "acme",
    agent: { id: "sentinel-1", name: "Sentinel" },
    auth: "apiKey",
    protocol: "mcp",
    era: "legacy",
    http: "POST",
    path: "/mcp",
    method: "tools/call",
    target: "echo",
    server: "everything",
    trace: "0".repeat(32),
    bytes: 100,
    ...more,
  };
}

export function outcome(call: string, more: Partial<Outcome> = {}): Outcome {
  return {
    call,
    tenant: "acme",
    at: Date.now(),
    decision: "allow",
    status: 200,
    durationMs: 1.5,
    bytes: 50,
    by: "i1",
    ...more,
  };
}
