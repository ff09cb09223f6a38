import { randomBytes } from "node:crypto";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Bus } from "@sluice/bus";
import { confSchema, serviceNames, type ServiceName } from "@sluice/contracts";
import { freePort, startNats, type Part } from "@sluice/launcher";
import { TestAuthority, until } from "@sluice/testing";
import { validate } from "dockerfile-utils";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { authorizationConf, passwordVariable } from "../deploy/nats/render.ts";

interface Container {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly env_file?: readonly { readonly path: string }[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly restart?: string;
  readonly ports?: readonly string[];
  readonly networks: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly container_name?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Container>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
}

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const read = (path: string) => readFile(join(root, path), "utf8");
const parts = ["nats", "redis", "postgres"];
/** Containers that do one thing and end. */
const once = ["audit-migrate"];
/** Containers that run a service for a part of its work. */
const shares: Readonly<Record<string, string>> = { "egress-a2a": "egress" };
/** Of which services each secret is; NATS itself knows every service's password. */
const holders: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(serviceNames.map((name) => [passwordVariable(name), [name, "nats"]])),
  REDIS_PASSWORD: ["rate-limit", "session-manager", "redis"],
  POSTGRES_PASSWORD: ["audit-migrate", "postgres"],
  POSTGRES_AUDIT_PASSWORD: ["audit", "postgres"],
  POSTGRES_SIGNER_PASSWORD: ["signer", "postgres"],
  POSTGRES_READER_PASSWORD: ["audit", "postgres"],
  POSTGRES_CONTENT_READER_PASSWORD: ["audit", "postgres"],
  POSTGRES_KEEPER_PASSWORD: ["audit", "postgres"],
  POSTGRES_TASKS_PASSWORD: ["session-manager", "postgres"],
  ADMIN_TOKEN: ["control"],
  PUSH_ENCRYPTION_KEY: ["session-manager"],
  PUSH_SIGNING_KEY: ["ingress", "egress"],
};

/** The environment variables that the schemas in a configuration file name. */
async function variablesIn(path: string): Promise<string[]> {
  return [...(await read(path)).matchAll(/^\s+([A-Z][A-Z0-9_]+): /gm)].map(([, name]) => name ?? "");
}

describe("docker-compose.yml", async () => {
  const text = await read("docker-compose.yml");
  const { services, networks } = parse(text, { merge: true }) as Compose;
  const of = (name: string): Container => services[name] ?? expect.fail(`there is no service ${name}`);

  it("runs each service and each part as a container of its own", () => {
    expect(Object.keys(services).toSorted()).toEqual(
      [...serviceNames, ...Object.keys(shares), ...once, ...parts].toSorted(),
    );
    for (const name of serviceNames) expect(of(name).command).toEqual([name]);
    for (const [name, service] of Object.entries(shares)) expect(of(name).command).toEqual([service]);
  });

  it("P10: MCP and A2A calls go through egress containers of their own, alike but for the pool", () => {
    const poolOf = (name: string) => of(name).environment?.["EGRESS_POOLS"];
    expect([poolOf("egress"), poolOf("egress-a2a")]).toEqual(["mcp", "a2a"]);
    const rest = (name: string) => ({ ...of(name), environment: { ...of(name).environment, EGRESS_POOLS: "" } });
    expect(rest("egress-a2a")).toEqual(rest("egress"));
  });

  it("gives each container its own secrets and nobody else's", () => {
    for (const [name, container] of Object.entries(services)) {
      const given = JSON.stringify([container.environment, container.command]).matchAll(/\$\{([A-Z_]+):\?/g);
      const expected = Object.keys(holders).filter((secret) => holders[secret]?.includes(shares[name] ?? name));
      expect([...new Set([...given].map(([, secret]) => secret))].toSorted(), name).toEqual(expected.toSorted());
    }
    expect(Object.keys(services).filter((name) => of(name).env_file !== undefined)).toEqual(["egress", "egress-a2a"]);
  });

  it("sets no variable that its service does not read", async () => {
    const base = await variablesIn("shared/runtime/src/config.ts");
    for (const name of serviceNames) {
      const known = [...base, ...(await variablesIn(`services/${name}/src/config.ts`))];
      const given = Object.keys(of(name).environment ?? {});
      const unknown = given.filter(
        (setting) => ![setting, setting.replace(/_FILE$/, "")].some((one) => known.includes(one)),
      );
      expect(unknown, name).toEqual([]);
    }
  });

  it("starts nothing without secrets, which .env.example names and does not set", async () => {
    const example = await read(".env.example");
    for (const secret of Object.keys(holders)) expect(example).toMatch(new RegExp(`^${secret}=$`, "m"));
    const open = [...text.matchAll(/\$\{([A-Z_]+)(?!:\?|[A-Z_])/g)].map(([, name]) => name);
    expect(new Set(open)).toEqual(new Set(["PUBLIC_URL", "PUSH_NETWORKS", "UPSTREAM_NETWORKS"]));
  });

  it("hands on where it is set, and leaves away where not, what signs cards and where agents tell of their tasks", async () => {
    const open = { PUSH_PUBLIC_URL: null, CARD_SIGNING_KEY: null, CARD_SIGNING_KEY_FILE: null };
    expect(of("ingress").environment).toMatchObject(open);
    expect(of("egress-a2a").environment).toMatchObject({ PUSH_PUBLIC_URL: null });
    const example = await read(".env.example");
    for (const name of [...Object.keys(open), "PUSH_NETWORKS"])
      expect(example).toMatch(new RegExp(`^# ${name}=.`, "m"));
  });

  it("waits for the health of what each container needs", () => {
    for (const [name, { healthcheck, restart, depends_on: needs = {} }] of Object.entries(services)) {
      if (once.includes(name)) expect([healthcheck?.disable, restart], name).toEqual([true, "no"]);
      else expect(healthcheck?.test?.length, name).toBeGreaterThan(1);
      for (const [needed, { condition }] of Object.entries(needs))
        expect(condition).toBe(once.includes(needed) ? "service_completed_successfully" : "service_healthy");
    }
    expect(Object.keys(of("audit").depends_on ?? {})).toContain("audit-migrate");
  });

  it("pins every image and lets only ingress and, on loopback, control be reached from outside", () => {
    for (const { image } of Object.values(services)) expect(image).toMatch(/:\d/);
    const published = Object.entries(services).flatMap(([name, { ports = [] }]) =>
      ports.map((port) => `${name} ${port}`),
    );
    expect(published).toEqual(["ingress 8080:8080", "control 127.0.0.1:8081:8081"]);
    expect(networks["parts"]?.internal).toBe(true);
    for (const part of parts) expect(of(part).networks).toEqual(["parts"]);
    for (const { container_name: fixed } of Object.values(services)) expect(fixed).toBeUndefined();
  });
});

describe("docker-compose.tls.yml", async () => {
  const { services } = parse(await read("docker-compose.tls.yml"), { merge: true }) as Compose;

  it("sets no variable that its service does not read, and has TLS on every connection", async () => {
    expect(Object.keys(services).toSorted()).toEqual([...serviceNames, ...once, ...parts].toSorted());
    const base = await variablesIn("shared/runtime/src/config.ts");
    for (const name of [...serviceNames, ...once]) {
      const { environment = {} } = services[name] ?? {};
      const source = once.includes(name) ? "services/audit/src/migrate.ts" : `services/${name}/src/config.ts`;
      const known = [...base, ...(await variablesIn(source))];
      expect(known, name).toEqual(expect.arrayContaining(Object.keys(environment)));
      for (const [variable, value] of Object.entries(environment))
        if (variable.endsWith("_URL"))
          expect(value, `${name} ${variable}`).toMatch(/^(?:tls|rediss):|verify-full$|https/);
    }
  });

  it("names a configuration of NATS that the server accepts, and that demands a certificate", async () => {
    const dir = await mkdtemp(join(tmpdir(), "sluice-deploy-tls-"));
    const authority = await TestAuthority.create("Deploy");
    await authority.issueFiles(dir, "nats", { sans: [{ type: "ip", value: "127.0.0.1" }], usage: "server" });
    const client = await authority.issueFiles(dir, "client", { commonName: "sluice", usage: "client" });
    await writeFile(join(dir, "ca.pem"), authority.cert);
    const tls = (await read("deploy/nats/nats-tls.conf")).replaceAll("/certs/", `${dir}/`).replace(/^include .*$/m, "");
    await using nats = await startNats({
      dataDir: join(dir, "data"),
      config: tls,
      env: { ...process.env, NATS_URL: "" },
    });
    const [ca, cert, key] = await Promise.all(
      [join(dir, "ca.pem"), client.certFile, client.keyFile].map((path) => readFile(path, "utf8")),
    );
    const material = { ca, cert, key };
    await using bus = await Bus.connect({
      url: nats.url.replace("nats://", "tls://"),
      service: "policy",
      tls: material,
    });
    await bus.flush();
    expect(bus.connected).toBe(true);
    await rm(dir, { recursive: true, force: true });
  });
});

describe("deploy/Dockerfile", async () => {
  const text = await read("deploy/Dockerfile");
  const lines = text.replaceAll("\\\n", " ").split("\n");

  it("builds on a pinned Node 24, runs as another user than root, and has a health check", () => {
    const bases = lines.filter((line) => line.startsWith("FROM ")).map((line) => line.split(" ")[1]);
    expect(new Set(bases)).toEqual(new Set(["node:24-bookworm-slim"]));
    const last = lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
    expect(last).toContain("USER node");
    expect(last.some((line) => line.startsWith("HEALTHCHECK "))).toBe(true);
    expect(last).toContain('ENTRYPOINT ["/app/deploy/entrypoint.sh"]');
  });

  it("has nothing that a linter complains of", () => {
    expect(validate(text)).toEqual([]);
  });

  it("installs what each service needs", () => {
    for (const name of serviceNames) expect(text).toContain(`-w services/${name} `.trimEnd());
  });
});

describe("deploy/entrypoint.sh", () => {
  it("names the services when it is asked for something else", async () => {
    const failure = await run(join(root, "deploy/entrypoint.sh"), ["../cli"]).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 64, stderr: expect.stringMatching("rate-limit") as unknown });
  });
});

describe("deploy/nats on a real server", () => {
  const passwords = Object.fromEntries(
    serviceNames.map((name) => [passwordVariable(name), `"${randomBytes(16).toString("hex")}"`]),
  );
  let dir: string;
  let nats: Part;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "sluice-deploy-"));
    Object.assign(process.env, passwords);
    const include = relative(dir, join(root, "deploy/nats/authorization.conf"));
    nats = await startNats({ dataDir: dir, config: `include ${include}`, env: { ...process.env, NATS_URL: "" } });
  });

  afterAll(async () => {
    await nats.stop();
    for (const name of Object.keys(passwords)) delete process.env[name];
    await rm(dir, { recursive: true, force: true });
  });

  const passwordOf = (name: ServiceName) => (passwords[passwordVariable(name)] ?? "").replaceAll('"', "");

  it("has the users and permissions that shared/bus names", async () => {
    expect(await read("deploy/nats/authorization.conf"), "run: node deploy/nats/render.ts").toBe(authorizationConf());
  });

  it("is a configuration that the server accepts", async () => {
    const server = await readlink(`/proc/${nats.pid ?? 0}/exe`);
    const { stderr } = await run(server, ["-t", "-c", join(root, "deploy/nats/nats.conf")]);
    expect(stderr).toContain("is valid");
  });

  it("lets each service in with its own password and keeps it from others' subjects", async () => {
    const problems: string[] = [];
    await using bus = await Bus.connect({
      url: nats.url,
      service: "policy",
      user: "policy",
      pass: passwordOf("policy"),
      onError: (problem) => problems.push(problem),
    });
    bus.tell("gw.call.v1.egress.mcp", new Uint8Array());
    await until("NATS refuses the publish", () => problems.some((problem) => /permissions violation/i.test(problem)));
  });

  it("carries control from the image's entry point to ready with the example of docs/configuration.md, and SIGTERM ends it", async () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(await read("docs/configuration.md"))?.[1] ?? "";
    expect(Object.keys(confSchema.parse(parse(example)).tenants)).toEqual(["acme"]);
    await writeFile(join(dir, "tenants.yaml"), example);
    const env = {
      PATH: process.env["PATH"],
      NATS_URL: nats.url,
      NATS_USER: "control",
      NATS_PASSWORD: passwordOf("control"),
      HEALTH_PORT: String(await freePort()),
      CONF_DIR: dir,
      ADMIN_PORT: "0",
      ADMIN_TOKEN: crypto.randomUUID(),
    };
    const control = spawn(join(root, "deploy/entrypoint.sh"), ["control"], { env, stdio: "inherit" });
    const ended = new Promise((resolve) => control.once("exit", (code, signal) => resolve(signal ?? code)));
    const check = () => run(process.execPath, [join(root, "deploy/healthcheck.mjs"), "/ready"], { env });
    await until("control is ready", () =>
      check().then(
        () => true,
        () => false,
      ),
    );
    control.kill("SIGTERM");
    expect(await ended).toBe(0);
  });
});

describe("docs/configuration.md, with the pages that it names", () => {
  it("explains every environment variable and every key of tenants.yaml", async () => {
    const pages = ["docs/configuration.md", "docs/authentication.md", "docs/tls.md", "docs/audit.md"];
    const doc = (await Promise.all(pages.map(read))).join("\n");
    const files = ["shared/runtime/src/config.ts", ...serviceNames.map((name) => `services/${name}/src/config.ts`)];
    const variables = (await Promise.all(files.map(variablesIn))).flat();
    expect(variables.length).toBeGreaterThan(30);
    const keys = [...(await read("conf/tenants.schema.json")).matchAll(/"(\w+)": \{/g)]
      .map(([, key]) => key ?? "")
      .filter(
        (key) =>
          !["properties", "patternProperties", "items", "additionalProperties", "propertyNames", "default"].includes(
            key,
          ),
      );
    expect([...variables, ...keys].filter((name) => !doc.includes(`\`${name}\``))).toEqual([]);
  });
});
