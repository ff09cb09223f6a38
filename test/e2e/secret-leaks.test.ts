import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerEcho, FakeUpstream, FakeVault, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BusSpy, natsPassword, type Overheard } from "./bus-spy.ts";
import { as, send, toolCall, type Answer } from "./http.ts";
import { runService } from "./service-run.ts";

/** Secrets as providers hold them; each must reach the upstream or Vault alone. */
const used = {
  env: "cnry-env-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga",
  file: "cnry-file-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga",
  vault: "cnry-vault-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0",
  changed: "cnry-changed-Zr2Lx7Vb5Tk9Ym3Pd6Jc1F",
};
/** What is wrong with these must be said without them. */
const unusable = {
  key: "-----BEGIN PRIVATE KEY-----\ncnry-key-MIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----",
  breaks: 'cnry-breaks-Vb5Tk9Ym3Pd6\r\n{"level":"fatal","msg":"cnry-forged"}',
  neighbour: "cnry-neighbour-Vb5Tk9Ym3Pd6Jc1",
  number: 471_100_815,
  garbled: "<html>cnry-garbled-Vb5Tk9Ym3Pd6Jc1",
};
const page = "secret/data/acme";

let house: TestHouse;
let upstream: FakeUpstream;
let collector: FakeUpstream;
let vault: FakeVault;
let spy: BusSpy;
let dir: string;
let canaries: string[];
const answers: Answer[] = [];
let overheard: Overheard[];
const statuses: string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-secret-leaks-"));
  await writeFile(join(dir, "file"), used.file);
  await writeFile(join(dir, "key"), unusable.key);
  vault = await FakeVault.start();
  vault.put(page, inVault(used.vault));
  upstream = await FakeUpstream.start(answerEcho);
  collector = await FakeUpstream.start((_request, response) => void response.writeHead(200).end("{}"));
  const { role_id, secret_id } = vault.appRole;
  canaries = [...Object.values(used), "cnry-", role_id, secret_id, vault.rootToken, String(unusable.number), "hvs."];
  house = await startTestHouse({
    env: {
      VAULT_ADDR: vault.url,
      VAULT_AUTH_METHOD: "approle",
      VAULT_ROLE_ID: role_id,
      VAULT_SECRET_ID: secret_id,
      VAULT_REFRESH_SECONDS: "1",
      BY_ENV: used.env,
      LOG_LEVEL: "trace",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
    tenants: tenants({}),
  });
  spy = await BusSpy.open(house);
  await drive();
});
afterAll(async () => {
  await spy?.[Symbol.asyncDispose]();
  await house?.[Symbol.asyncDispose]();
  for (const server of [upstream, collector, vault]) await server?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

function inVault(token: string) {
  return { token, neighbour: unusable.neighbour, number: unusable.number, breaks: unusable.breaks };
}

const header = (value: string) => ({ credentials: { type: "header", headerName: "x-key", value } });
const usable = {
  env: header("${env:BY_ENV}"),
  file: () => header(`\${file:${dir}/file}`),
  vault: header(`\${vault:${page}#token}`),
};

function tenants(more: Record<string, object>) {
  const endpoints = { env: usable.env, file: usable.file(), vault: usable.vault, ...more };
  return {
    acme: {
      agents: ["a-1"],
      mcp: { endpoints: Object.entries(endpoints).map(([name, rest]) => ({ name, url: upstream.url, ...rest })) },
      accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
    },
  };
}

const broken = () => ({
  key: {
    credentials: {
      type: "oauth2ClientCredentials",
      clientId: "c",
      tokenUrl: "http://127.0.0.1:9/",
      authMethod: "private_key_jwt",
      privateKey: `\${file:${dir}/key}`,
    },
  },
  breaks: header(`\${vault:${page}#breaks}`),
  number: header(`\${vault:${page}#number}`),
  "no-key": header(`\${vault:${page}#none}`),
  "no-path": header("${vault:secret/data/none#key}"),
  denied: header("${vault:secret/data/denied#key}"),
});

async function call(server: string): Promise<Answer> {
  const answer = await send(`${house.house.url}/mcp/${server}`, {
    headers: as(house.key("a-1")),
    body: toolCall("echo"),
  });
  answers.push(answer);
  return answer;
}

/** What operators are told now, and every metric with it. */
async function told(): Promise<string> {
  const headers = { authorization: `Bearer ${house.house.adminToken}` };
  const texts = [(await send(`${house.house.adminUrl}/v1/status`, { method: "GET", headers })).everything];
  for (const { health, process } of house.house.replicas)
    for (const path of ["/health", "/metrics"])
      if (process.running) texts.push((await send(health + path, { method: "GET" })).everything);
  statuses.push(...texts);
  return texts.join("\n");
}
const saysSo = (what: string, text: string) => until(what, async () => (await told()).includes(text));

/** Every way in which a secret, or Vault itself, can be wrong. */
async function drive(): Promise<void> {
  for (const server of Object.keys(usable)) expect((await call(server)).status).toBe(200);
  vault.denied.add("secret/data/denied");
  await house.configure(tenants(broken()));
  await saysSo("the broken ones", "endpoint denied: ${vault:secret/data/denied#key}: Vault denies it (403)");
  for (const server of Object.keys(broken())) expect((await call(server)).status).toBe(502);
  vault.put(page, inVault(used.changed));
  await until("the change", () => call("vault").then(() => upstream.everything.includes(used.changed)));
  vault.garbled = unusable.garbled;
  await saysSo("the garbled answer", "no JSON object");
  vault.garbled = undefined;
  vault.appRole.secret_id = "another";
  vault.revokeAll();
  await saysSo("the refused login", "Vault refuses the login by approle (400)");
  vault.sealed = true;
  await saysSo("the seal", "Vault is sealed");
  await vault[Symbol.asyncDispose]();
  await saysSo("the absence", "Vault can't be reached (ECONNREFUSED)");
  expect((await call("vault")).status).toBe(200);
  overheard = await spy.heard((tool) =>
    send(`${house.house.url}/mcp/env`, { headers: as(house.key("a-1")), body: toolCall(tool) }),
  );
}

function expectNone(text: string, what: string) {
  for (const canary of canaries) expect(text.includes(canary), `${canary.slice(0, 12)}… in ${what}`).toBe(false);
}

describe("secrets of all providers, whatever goes wrong with them", () => {
  it("A31: the upstream gets its own, and Vault alone the login", () => {
    for (const secret of Object.values(used)) expect(upstream.everything).toContain(secret);
    expect(upstream.everything).not.toContain("cnry-neighbour");
    expect(JSON.stringify(vault.asked)).toContain(vault.appRole.role_id);
    expect(upstream.everything).not.toContain(vault.appRole.role_id);
  });

  it("A31: none is in an answer, on the bus, in the audit trail or in the configuration that is kept", async () => {
    expectNone(answers.map(({ everything }) => everything).join("\n"), "answers");
    expect(overheard.length).toBeGreaterThan(0);
    expectNone(JSON.stringify(overheard), "the bus");
    const nats = join(house.dataDir, "nats");
    const files = await readdir(nats, { recursive: true, withFileTypes: true });
    const kept = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), "latin1")),
    );
    expect(kept.join("\n")).toContain("BY_ENV");
    expectNone(kept.join("\n"), "JetStream's files");
    expect(await house.query("select 1 from audit_calls limit 1")).toHaveLength(1);
    expectNone(await house.stored(), "the audit database");
  });

  it("A31: none is in a trace, a metric, health or the admin API", async () => {
    await until("spans", () => collector.everything.includes("sluice-egress"));
    expectNone(collector.everything, "traces");
    expect(statuses.join("\n")).toContain('sluice_vault_failures_total{operation="login"');
    expectNone(statuses.join("\n"), "status and metrics");
  });

  it("A31: none is in a log at level trace, and each line is one JSON object of the service's own", async () => {
    const logs = await house.logs();
    for (const server of Object.keys(broken())) expect(logs).toContain(`tenant acme, endpoint ${server}: `);
    expectNone(logs, "the logs");
    for (const line of logs.split("\n").filter((text) => text !== "")) {
      const entry = JSON.parse(line) as Record<string, unknown>;
      expect(Object.keys(entry)).toEqual(expect.arrayContaining(["level", "time", "service"]));
    }
  });
});

describe("settings of a process that refer to secrets", () => {
  it("A31: passwords come from a file, from Vault or as a part of a URL, and are not in the environment", async () => {
    await using ours = await FakeVault.start();
    const password = await natsPassword(house, "policy");
    await writeFile(join(dir, "nats"), `${password}\n`);
    ours.put("secret/data/nats", { password });
    const database = new URL(house.house.parts.postgres.url);
    await writeFile(join(dir, "database"), decodeURIComponent(database.password));
    const inUrl = database.href.replace(`:${database.password}@`, `:\${file:${dir}/database}@`);
    const byVault = { VAULT_ADDR: ours.url, VAULT_TOKEN: ours.rootToken };
    const runs = [
      { service: "policy", env: { NATS_PASSWORD: `\${file:${dir}/nats}` } },
      { service: "policy", env: { NATS_PASSWORD: undefined, NATS_PASSWORD_FILE: `${dir}/nats` } },
      { service: "policy", env: { NATS_PASSWORD: "${vault:secret/data/nats#password}", ...byVault } },
      { service: "audit", env: { DATABASE_URL: inUrl } },
    ] as const;
    for (const run of runs) {
      const { code, output } = await runService({ house, ...run });
      expect([run.env, code]).toEqual([run.env, null]);
      expect(output).toContain('"msg":"ready"');
      expect(output).not.toContain(password);
    }
  });

  it("A4: a reference that leads nowhere keeps a service from starting; it names the setting and the reference", async () => {
    const env = {
      NATS_PASSWORD: "${vault:secret/data/nats#password}",
      REDIS_URL: "redis://:${file:/nowhere/redis}@127.0.0.1:6379",
    };
    const { code, output } = await runService({ house, service: "rate-limit", env });
    expect(code).toBe(2);
    expect(output).toContain("NATS_PASSWORD: ${vault:secret/data/nats#password}: VAULT_ADDR is missing");
    expect(output).toContain("REDIS_URL: ${file:/nowhere/redis}: there is no such file");
    await writeFile(join(dir, "weak"), "changeme\n");
    const weak = await runService({ house, service: "policy", env: { NATS_PASSWORD: `\${file:${dir}/weak}` } });
    expect([weak.code, weak.output.includes("NATS_PASSWORD: it is a well-known default")]).toEqual([2, true]);
  });
});
