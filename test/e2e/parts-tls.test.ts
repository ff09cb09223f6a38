import { copyFile, chown, mkdtemp, chmod, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, startNats, startPostgres, startRedis } from "@sluice/launcher";
import { auditSchema, connect, migrate } from "@sluice/schema";
import { FakeUpstream, startTestHouse, TestAuthority, until, type TestHouse } from "@sluice/testing";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";
import { runService } from "./service-run.ts";

const stack = new AsyncDisposableStack();
const dayMs = 86_400_000;
let dir: string;
let house: TestHouse;
let authority: TestAuthority;
let urls: Record<"redis" | "postgres", string>;
let database: pg.Pool;
let redis: Redis;

const file = (name: string) => join(dir, name);
const names = [
  { type: "dns", value: "localhost" },
  { type: "ip", value: "127.0.0.1" },
] as const;
const clientFiles = (name: string, client = "client") => ({
  [`${name}_CA_FILE`]: file("ca.pem"),
  [`${name}_CERT_FILE`]: file(`${client}.pem`),
  [`${name}_KEY_FILE`]: file(`${client}-key.pem`),
});

/** Redis that takes connections over TLS and with certificates alone on one more port. */
async function redisWithTls(): Promise<string> {
  const part = await startRedis({ dataDir: file("redis") });
  stack.defer(() => part.stop());
  const plain = new Redis(part.url);
  const port = await freePort();
  const files = [
    "tls-cert-file",
    file("local.pem"),
    "tls-key-file",
    file("local-key.pem"),
    "tls-ca-cert-file",
    file("ca.pem"),
  ];
  await plain.call("CONFIG", "SET", ...files, "tls-auth-clients", "yes", "tls-port", String(port));
  plain.disconnect();
  return `rediss://localhost:${port}`;
}

/** Postgres that takes connections over TLS alone, from those whose certificate names their user. */
async function postgresWithTls(): Promise<string> {
  const part = await startPostgres({ dataDir: file("postgres") });
  stack.defer(() => part.stop());
  const owner = await connect(part.url);
  await migrate(owner, auditSchema).finally(() => owner.end());
  const { uid, gid } = await stat(file("postgres/cluster/pgdata"));
  for (const name of ["local.pem", "local-key.pem", "ca.pem"]) {
    const own = file(`postgres/cluster/pgdata/${name}`);
    await copyFile(file(name), own);
    await chown(own, uid, gid);
    await chmod(own, 0o600);
  }
  const rules = file("postgres/cluster/pgdata/tls_hba.conf");
  await writeFile(rules, "hostssl all all all scram-sha-256 clientcert=verify-full\n");
  const client = new pg.Client({ connectionString: part.url });
  await client.connect();
  const settings = {
    ssl: "on",
    ssl_cert_file: "local.pem",
    ssl_key_file: "local-key.pem",
    ssl_ca_file: "ca.pem",
    hba_file: rules,
  };
  for (const [name, value] of Object.entries(settings)) await client.query(`alter system set ${name} = '${value}'`);
  await client.end();
  await part.restart();
  return part.url.replace("127.0.0.1", "localhost");
}

const tlsBlock = (name: string) =>
  `tls { cert_file: "${file(`${name}.pem`)}", key_file: "${file(`${name}-key.pem`)}", ca_file: "${file("ca.pem")}", verify: true }`;

async function natsWith(config: string): Promise<string> {
  const part = await startNats({ dataDir: await mkdtemp(file("nats-")), config });
  stack.defer(() => part.stop());
  return part.url;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-parts-tls-"));
  await chmod(dir, 0o755);
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  authority = await TestAuthority.create("Parts");
  const stranger = await TestAuthority.create("Strangers");
  const past = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
  await Promise.all([
    writeFile(file("ca.pem"), authority.cert),
    writeFile(file("stranger-ca.pem"), stranger.cert),
    authority.issueFiles(dir, "server", { sans: names, usage: "server" }),
    authority.issueFiles(dir, "local", { sans: names.slice(0, 1), usage: "server" }),
    authority.issueFiles(dir, "elsewhere", { sans: [{ type: "dns", value: "elsewhere" }], usage: "server" }),
    authority.issueFiles(dir, "client", { commonName: "sluice", usage: "client" }),
    authority.issueFiles(dir, "somebody", { commonName: "somebody", usage: "client" }),
    authority.issueFiles(dir, "expired", { commonName: "sluice", usage: "client", ...past }),
    stranger.issueFiles(dir, "stranger", { commonName: "sluice", usage: "client" }),
  ]);
  const upstream = stack.use(await FakeUpstream.start());
  const [redisUrl, postgres] = await Promise.all([redisWithTls(), postgresWithTls()]);
  urls = { redis: redisUrl, postgres };
  const overTls = { REDIS_URL: urls.redis, ...clientFiles("REDIS") };
  const limits = [{ path: "/mcp/tools/call", maxRequests: 2, windowSeconds: 3_600 }];
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  const tls = tlsBlock("server");
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: { agents: ["a-1"], mcp: { endpoints: [{ name: "main", url: upstream.url }] }, accessRules, limits },
      },
      natsConfig: tls,
      env: clientFiles("NATS"),
      envOf: {
        "rate-limit": overTls,
        "session-manager": overTls,
        audit: { DATABASE_URL: `${urls.postgres}?sslmode=verify-full`, ...clientFiles("DATABASE") },
      },
    }),
  );
  const own = { ca: authority.cert, ...(await authority.issue({ commonName: "sluice", usage: "client" })) };
  database = new pg.Pool({ connectionString: urls.postgres, ssl: { ...own } });
  stack.defer(() => database.end());
  redis = new Redis(urls.redis, { tls: own });
  stack.defer(() => redis.disconnect());
});
afterAll(() => stack.disposeAsync());

const call = () => send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall("echo") });
const calls = async () => {
  const { rows } = await database.query<{ count: string }>("select count(*) from audit_calls where state = 'done'");
  return Number(rows[0]?.count);
};

describe("NATS, Redis and Postgres that demand client certificates", () => {
  it("carry calls, limits and the audit trail", async () => {
    expect((await call()).status).toBe(200);
    expect((await call()).status).toBe(200);
    expect((await call()).status).toBe(429);
    expect(await redis.keys("*")).not.toEqual([]);
    await until("the audit trail has the calls", async () => (await calls()) === 3);
    const inClear = new pg.Client({ connectionString: urls.postgres });
    await expect(inClear.connect()).rejects.toThrow(/no pg_hba.conf entry/);
  });

  it("are refused by a service that can't verify them, which says why", async () => {
    const other = { CA_FILE: file("stranger-ca.pem") };
    const stray = { ...clientFiles("NATS"), NATS_USER: undefined, NATS_PASSWORD: undefined };
    const elsewhere = await natsWith(tlsBlock("elsewhere"));
    const inClear = await natsWith("");
    const byAddress = (url: string) => url.replace("localhost", "127.0.0.1");
    const mismatch = "Hostname/IP does not match certificate's altnames";
    const nats: [Record<string, string | undefined>, RegExp][] = [
      [{ ...clientFiles("NATS"), NATS_CA_FILE: other.CA_FILE }, /no connection to nats yet: unable to verify/],
      [{ NATS_CA_FILE: file("ca.pem") }, /no connection to nats yet: .*may not accept this/],
      [clientFiles("NATS", "stranger"), /no connection to nats yet: .*may not accept this/],
      [{ ...stray, NATS_URL: elsewhere }, new RegExp(`no connection to nats yet: ${mismatch}`)],
      [{ ...stray, NATS_URL: inClear }, /no connection to nats yet: server does not support 'tls'/],
      [{ NATS_URL: inClear.replace("nats://", "tls://"), NATS_USER: undefined }, /server does not support 'tls'/],
    ];
    const redis: [Record<string, string>, RegExp][] = [
      [{ REDIS_CA_FILE: other.CA_FILE }, /(self-signed|unable to verify).*no connection to redis/],
      [clientFiles("REDIS", "stranger"), /no connection to redis/],
      [{ REDIS_URL: byAddress(urls.redis) }, new RegExp(`${mismatch}.*no connection to redis`)],
    ];
    const postgres: [Record<string, string>, RegExp][] = [
      [{ DATABASE_CA_FILE: other.CA_FILE }, /self-signed|unable to verify/],
      [clientFiles("DATABASE", "somebody"), /authentication failed for user/],
      [{ DATABASE_URL: byAddress(urls.postgres) }, new RegExp(mismatch)],
    ];
    const overNats = clientFiles("NATS");
    const toRedis = { ...overNats, ...clientFiles("REDIS"), REDIS_URL: urls.redis };
    const toPostgres = { ...overNats, ...clientFiles("DATABASE"), DATABASE_URL: urls.postgres };
    const runs = [
      nats.map(([env, reason]) => ({ service: "policy", env, reason }) as const),
      redis.map(([env, reason]) => ({ service: "rate-limit", env: { ...toRedis, ...env }, reason }) as const),
      postgres.map(([env, reason]) => ({ service: "audit", env: { ...toPostgres, ...env }, reason }) as const),
    ];
    const eachOf = async (row: (typeof runs)[number]) => {
      for (const { service, env, reason } of row) {
        const meanwhile = service === "audit" ? { meanwhile: call } : {};
        const { output } = await runService({ house, service, env, stopAt: reason, ...meanwhile });
        expect(output, `${service} with ${JSON.stringify(env)}`).toMatch(reason);
      }
    };
    await Promise.all(runs.map(eachOf));
  }, 120_000);

  it("are not asked at all with files that can't be used: the service ends with exit code 2", async () => {
    const database = { DATABASE_URL: urls.postgres };
    const cases: [Parameters<typeof runService>[0]["service"], Record<string, string>, RegExp][] = [
      ["policy", { ...clientFiles("NATS"), NATS_CA_FILE: file("missing.pem") }, /NATS_CA_FILE: there is no file/],
      ["policy", { NATS_CERT_FILE: file("client.pem") }, /NATS_CERT_FILE and NATS_KEY_FILE belong together/],
      ["policy", clientFiles("NATS", "expired"), /NATS_CERT_FILE: .* expired on 20/],
      [
        "rate-limit",
        { ...clientFiles("REDIS"), REDIS_URL: urls.redis.replace("rediss", "redis") },
        /REDIS_URL: must begin with rediss/,
      ],
      [
        "audit",
        { DATABASE_URL: `${urls.postgres}?sslmode=no-verify` },
        /DATABASE_URL: sslmode must be verify-full or disable/,
      ],
      [
        "audit",
        { ...database, ...clientFiles("DATABASE"), DATABASE_KEY_FILE: file("server-key.pem") },
        /DATABASE_KEY_FILE: the key .* does not belong/,
      ],
    ];
    for (const [service, env, reason] of cases) {
      const nats = service === "policy" ? {} : clientFiles("NATS");
      const { code, output } = await runService({ house, service, env: { ...nats, ...env } });
      expect(output).toMatch(reason);
      expect(code).toBe(2);
    }
  });

  it("are reconnected to with the files as they are then", async () => {
    const next = await TestAuthority.create("Parts renewed");
    await writeFile(file("ca.pem"), next.cert);
    await next.issueFiles(dir, "server", { sans: names, usage: "server" });
    await next.issueFiles(dir, "client", { commonName: "sluice", usage: "client" });
    const before = await calls();
    await house.house.parts.nats.restart();
    await until("calls pass again", async () => (await call()).status === 429, 30_000);
    await until("and are in the audit trail", async () => (await calls()) > before, 30_000);
    const metrics = await fetch(`${house.house.of("policy")[0]?.health}/metrics`);
    expect(await metrics.text()).toMatch(/sluice_tls_certificate_expiry_timestamp_seconds\{[^}]*use="nats"/);
  });
});
