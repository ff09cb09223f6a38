/** NATS, Postgres and the audit service alone, and a stream that is filled as ingress and egress fill it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountsBlock, Bus, ensureTopology, stateOf, store } from "@sluice/bus";
import { encodeJson, subjects, type Intent, type Outcome } from "@sluice/contracts";
import {
  freePort,
  nodeArguments,
  serviceMain,
  spawnService,
  startNats,
  startPostgres,
  type Part,
  type ServiceProcess,
} from "@sluice/launcher";
import { auditSchema, connect, ensureLogin, migrate } from "@sluice/schema";

const password = "only-for-the-benchmark";
const streamBytes = 8 * 1024 ** 3;
const day = 86_400_000;
/** As under load: ingress admits several calls by one message, and outcomes go in larger batches. */
const intentsPerMessage = 8;
const outcomesPerMessage = 32;
const messagesAtOnce = 64;
const agents = 100;
const storeTimeoutMs = 30_000;

/** Servers of the benchmark's own. */
export class AuditParts implements AsyncDisposable {
  readonly nats: Part;
  readonly postgres: Part;
  readonly #bus: Bus;
  readonly #stack: AsyncDisposableStack;
  #calls = 0;
  #seq = 0;

  private constructor({ nats, postgres }: { nats: Part; postgres: Part }, bus: Bus, stack: AsyncDisposableStack) {
    this.nats = nats;
    this.postgres = postgres;
    this.#bus = bus;
    this.#stack = stack;
  }

  static async start(): Promise<AuditParts> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "sluice-bench-audit-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const env = { ...process.env, NATS_URL: "", DATABASE_URL: "" };
    const config = accountsBlock({ password: () => JSON.stringify(password) });
    const nats = stack.use(await startNats({ dataDir: join(dir, "nats"), config, env }));
    const postgres = stack.use(await startPostgres({ dataDir: join(dir, "postgres"), env }));
    const owner = await connect(postgres.url);
    await migrate(owner, auditSchema);
    await ensureLogin(owner, { name: "bench_audit", password, memberOf: ["audit_writer"] });
    await owner.end();
    const user = { url: nats.url, pass: password };
    const control = stack.use(await Bus.connect({ ...user, service: "control", user: "control" }));
    await ensureTopology(control, {
      ...{ replicas: 1, auditMaxBytes: streamBytes, trailMaxBytes: streamBytes, trailMaxAgeMs: day },
      ...{ repliesMaxBytes: 8 << 20, repliesMaxAgeMs: day, pushMaxBytes: 8 << 20, pushMaxWaiting: 100 },
    });
    const bus = stack.use(await Bus.connect({ ...user, service: "ingress", user: "ingress" }));
    const started = new AuditParts({ nats, postgres }, control, stack.move());
    started.#ingress = bus;
    return started;
  }

  #ingress: Bus | undefined;

  /** Messages that wait in the AUDIT stream. */
  async waiting(): Promise<number> {
    return (await stateOf(this.#bus, "AUDIT")).messages;
  }

  /** Puts so many events of whole calls into the stream, an intent and an outcome each. */
  async fill(events: number): Promise<void> {
    const messages: { subject: string; payload: Uint8Array }[] = [];
    for (let left = events / 2; left > 0; left -= outcomesPerMessage) {
      const calls = Array.from({ length: Math.min(left, outcomesPerMessage) }, () => `bench-${this.#calls++}`);
      for (let at = 0; at < calls.length; at += intentsPerMessage)
        messages.push(admission(calls.slice(at, at + intentsPerMessage).map((call) => this.#intent(call))));
      messages.push(batch(calls.map((call) => this.#outcome(call))));
    }
    for (let at = 0; at < messages.length; at += messagesAtOnce)
      await Promise.all(
        messages.slice(at, at + messagesAtOnce).map((message) => store(this.#ingress as Bus, message, storeTimeoutMs)),
      );
  }

  /** The service as `sluice up` runs it. */
  async startAudit(): Promise<ServiceProcess> {
    const url = new URL(this.postgres.url);
    Object.assign(url, { username: "bench_audit", password });
    return spawnService({
      name: "audit",
      command: process.execPath,
      args: [...nodeArguments, serviceMain("audit")],
      env: {
        ...process.env,
        ...{ NATS_URL: this.nats.url, NATS_USER: "audit", NATS_PASSWORD: password, DATABASE_URL: url.href },
        ...{ HEALTH_PORT: String(await freePort()), LOG_LEVEL: "error" },
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  #intent(call: string): Intent {
    return {
      ...{ seq: ++this.#seq, call, at: Date.now(), label: "mcp_proxy", tenant: "bench" },
      agent: { id: `agent-${this.#calls % agents}`, name: `Agent ${this.#calls % agents}`, owner: "bench" },
      ...{ auth: "apiKey", protocol: "mcp", era: "modern", http: "POST", path: "/mcp", method: "tools/call" },
      ...{ target: "echo-256", server: "bench", trace: call.padStart(32, "0"), bytes: 420, rpcId: "1" },
      argumentsHash: "ab".repeat(32),
    };
  }

  #outcome(call: string): Outcome {
    return {
      ...{ seq: ++this.#seq, call, tenant: "bench", at: Date.now(), decision: "allow", rule: "accessRules[1]" },
      ...{ policyVersion: 1, status: 200, isError: false, durationMs: 3.25, bytes: 330, resultHash: "cd".repeat(32) },
      ...{ limit: { policy: '"1";q=1000000000;w=60', left: 999_999 }, credential: "hmac", by: "bench" },
    };
  }
}

const from = "bench";

function admission(calls: readonly Intent[]) {
  const subject = subjects.admit("mcp", { policy: true, limit: true, session: false });
  return { subject, payload: encodeJson({ from, calls }) };
}

function batch(outcomes: readonly Outcome[]) {
  const events = outcomes.map((outcome) => ({ event: "outcome", ...outcome }));
  return { subject: subjects.audit("ingress"), payload: encodeJson({ from, events }) };
}
