import { createServer, type Server } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus, ensureTopology } from "@sluice/bus";
import { encodeJson, decodeJson, streams, subjects, type Checkpoint } from "@sluice/contracts";
import { startNats, startPostgres, type Part } from "@sluice/launcher";
import { loadConfig } from "@sluice/runtime";
import { auditSchema, connect, ensureLogin, migrate } from "@sluice/schema";
import { makeNoteKey } from "@sluice/signing";
import { createLog, createMetrics } from "@sluice/telemetry";
import type { Client } from "pg";
import { configSchema } from "./config.ts";
import { startSigner, type SignerContext } from "./service.ts";

export const key = makeNoteKey("example.com/audit");

/** A running replica of the signer, in this process. */
export interface Replica extends AsyncDisposable {
  isReady(): boolean;
  health(): Record<string, unknown>;
  problems(): string[];
  metric(name: string): Promise<{ value: number; labels: object }[]>;
}

/** Real NATS and Postgres, with the signer's own login. */
export class SignerWorld implements AsyncDisposable {
  readonly #scope = new AsyncDisposableStack();
  dataDir = "";
  nats!: Part;
  database!: Client;
  control!: Bus;
  #databaseUrl = "";

  static async open(env: NodeJS.ProcessEnv): Promise<SignerWorld> {
    const world = new SignerWorld();
    const dataDir = await mkdtemp(join(tmpdir(), "sluice-signer-"));
    world.dataDir = dataDir;
    world.#scope.defer(() => rm(dataDir, { recursive: true, force: true }));
    const [nats, postgres] = await Promise.all([
      startNats({ dataDir: join(dataDir, "nats"), env: { ...env, NATS_URL: "" } }),
      startPostgres({ dataDir: join(dataDir, "postgres"), env: { ...env, DATABASE_URL: "" } }),
    ]);
    world.nats = nats;
    for (const part of [nats, postgres]) world.#scope.defer(() => part.stop());
    const database = await connect(postgres.url);
    world.#scope.defer(() => database.end());
    world.database = database;
    await migrate(database, auditSchema);
    const login = { name: "sluice_signer", password: "of-the-signer-0123456789", memberOf: ["audit_signer"] } as const;
    await ensureLogin(database, login);
    world.#databaseUrl = Object.assign(new URL(postgres.url), { username: login.name, password: login.password }).href;
    world.control = world.#scope.use(await Bus.connect({ url: nats.url, service: "control" }));
    await world.makeStreams();
    return world;
  }

  makeStreams(): Promise<void> {
    return ensureTopology(this.control, {
      replicas: 1,
      auditMaxBytes: 8 << 20,
      trailMaxBytes: 8 << 20,
      trailMaxAgeMs: 3_600_000,
      repliesMaxBytes: 8 << 20,
      repliesMaxAgeMs: 60_000,
      pushMaxBytes: 8 << 20,
      pushMaxWaiting: 100,
    });
  }

  async start(env: Record<string, string> = {}): Promise<Replica> {
    const scope = new AsyncDisposableStack();
    const config = loadConfig(configSchema, {
      ...{ DATABASE_URL: this.#databaseUrl, SIGNER_KEY: key.privateKey, SIGNER_INTERVAL_MS: "100" },
      ...env,
    });
    const bus = scope.use(await Bus.connect({ url: this.nats.url, service: "signer" }));
    const metrics = createMetrics("signer");
    const ready: (() => boolean)[] = [];
    const reports: (() => Record<string, unknown>)[] = [];
    const problems: (() => string[])[] = [];
    await startSigner({
      ...{ bus, metrics, scope, log: createLog("signer", "silent") },
      config: config as SignerContext["config"],
      report: (details) => void reports.push(details),
      requireReady: (check) => void ready.push(check),
      complain: (tell) => void problems.push(tell),
    } satisfies Partial<SignerContext> as unknown as SignerContext);
    return {
      isReady: () => ready.every((check) => check()),
      health: () => Object.fromEntries(reports.flatMap((report) => Object.entries(report()))),
      problems: () => problems.flatMap((tell) => tell()),
      metric: async (name) => (await metrics.getSingleMetric(name)?.get())?.values ?? [],
      [Symbol.asyncDispose]: () => scope.disposeAsync(),
    };
  }

  async stored(log: string): Promise<Omit<Checkpoint, "at" | "log">[]> {
    const text = "select size::int, encode(root, 'hex') as root, note from audit_checkpoints where log = $1 order by 1";
    return (await this.database.query(text, [log])).rows as never;
  }

  /** What stands on the log's subject of the CHECKPOINTS stream. */
  async streamed(log: string): Promise<Checkpoint[]> {
    const found: Checkpoint[] = [];
    for (let seq = 1; ; seq++) {
      const question = encodeJson({ seq, next_by_subj: subjects.checkpoint(log) });
      const subject = `$JS.API.STREAM.MSG.GET.${streams.checkpoints.name}`;
      const { data } = await this.control.ask(subject, question, { timeoutMs: 5_000 });
      const { message } = decodeJson<{ message?: { seq: number; data: string } }>(data);
      if (message === undefined) return found;
      found.push(JSON.parse(Buffer.from(message.data, "base64").toString()) as Checkpoint);
      seq = message.seq;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope.disposeAsync();
  }
}

/** Takes checkpoints by HTTP, or refuses them. */
export class Receiver implements AsyncDisposable {
  readonly received: Checkpoint[] = [];
  readonly authorizations = new Set<string | undefined>();
  status = 204;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      void (async () => {
        this.authorizations.add(request.headers.authorization);
        const body = Buffer.concat(await request.toArray()).toString();
        if (this.status === 204) this.received.push(...(JSON.parse(body) as { checkpoints: Checkpoint[] }).checkpoints);
        response.writeHead(this.status).end();
      })();
    });
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/checkpoints`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
