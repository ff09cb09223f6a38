import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountsBlock, Bus, watchSection, type SectionMap } from "@sluice/bus";
import type { ServiceName } from "@sluice/contracts";
import { freePort, spawnService, startNats, type Part } from "@sluice/launcher";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ConfigurationStatus } from "./configuration.ts";

const password = "only-for-this-test";
const env = { ...process.env, NATS_URL: "" };
const patience = { timeout: 20_000, interval: 10 };
const hotMs = 1_000;
interface AdminStatus {
  readonly configuration: ConfigurationStatus;
  readonly tenants: readonly string[];
  readonly services: Readonly<Record<string, number>>;
}

const adminToken = randomBytes(32).toString("hex");

let dir: string;
let confDir: string;
let nats: Part;
let scope: AsyncDisposableStack;

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  dir = await mkdtemp(join(tmpdir(), "sluice-control-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  confDir = join(dir, "conf");
  await mkdir(confDir);
  await save(confWith("sentinel-1"));
  nats = scope.use(
    await startNats({
      dataDir: join(dir, "nats"),
      config: accountsBlock({ password: () => JSON.stringify(password) }),
      env,
    }),
  );
});

afterEach(() => scope.disposeAsync());

function confWith(...agents: string[]): string {
  const entries = agents.map((agent) => {
    const hash = createHash("sha256").update(`key of ${agent}`).digest("hex");
    return `{ id: ${agent}, apiKeys: ["sha256:${hash}"] }`;
  });
  return `tenants:
  acme:
    agents: [${entries.join(", ")}]
    mcp: { endpoints: [{ name: main, url: "http://127.0.0.1:3001/mcp" }] }
`;
}

/** As editors do: a new file takes the old one's place. */
async function save(text: string): Promise<void> {
  await writeFile(join(confDir, "new"), text);
  await rename(join(confDir, "new"), join(confDir, "tenants.yaml"));
}

async function startControl() {
  const adminPort = await freePort();
  const lines: string[] = [];
  const service = await spawnService({
    name: "control",
    command: process.execPath,
    args: [join(import.meta.dirname, "../dist/main.js")],
    env: {
      ...env,
      NATS_URL: nats.url,
      NATS_USER: "control",
      NATS_PASSWORD: password,
      CONF_DIR: confDir,
      ADMIN_PORT: String(adminPort),
      ADMIN_TOKEN: adminToken,
      UPSTREAM_NETWORKS: "127.0.0.0/8",
      AUDIT_MAX_BYTES: String(16 << 20),
      REPLIES_MAX_BYTES: String(16 << 20),
    },
    onLine: (line) => lines.push(line),
  });
  scope.defer(() => service.stop().then(() => {}));
  const ask = (authorization = `Bearer ${adminToken}`, path = "/v1/status") =>
    fetch(`http://127.0.0.1:${adminPort}${path}`, { headers: { authorization } });
  const status = async () => (await (await ask()).json()) as AdminStatus;
  const untilReady = () => vi.waitFor(() => expect(lines.join("\n")).toContain('"msg":"ready"'), patience);
  return { service, lines, ask, status, untilReady };
}

async function connect(service: ServiceName): Promise<Bus> {
  const bus = await Bus.connect({ url: nats.url, service, user: service, pass: password });
  scope.defer(() => bus.close());
  return bus;
}

/** What ingress gets told, in order. */
async function follow() {
  const seen: { version: number; agents: string[] }[] = [];
  const bus = await connect("ingress");
  const note = (tenants: SectionMap<"ingress">) => {
    const section = tenants.get("acme");
    seen.push({ version: section?.version ?? 0, agents: Object.values(section?.keys ?? {}).map((agent) => agent.id) });
  };
  scope.use(await watchSection(bus, "ingress", note));
  return seen;
}

test("a pattern that fits no agent is warned of in the log and the status, and is no error", async () => {
  await save(`${confWith("sentinel-1")}    accessRules: [{ agentPattern: "sentinal-*", allowedTools: ["*"] }]\n`);
  const control = await startControl();
  await control.untilReady();
  const { configuration } = await control.status();
  expect(configuration.error).toBeUndefined();
  expect(configuration.warnings).toEqual([expect.stringMatching(/tenants\.yaml:5:21: .*sentinal-\* fits no agent/)]);
  expect(control.lines.join("\n")).toContain("sentinal-* fits no agent");
  await save(confWith("sentinel-1"));
  await vi.waitFor(async () => expect((await control.status()).configuration.warnings).toBeUndefined(), patience);
});

describe("the configuration reaches the services", () => {
  test("an edit is in force in less than a second, under the next version", async () => {
    await (await startControl()).untilReady();
    const seen = await follow();
    expect(seen).toEqual([{ version: 1, agents: ["sentinel-1"] }]);
    await save(confWith("alchemy-1"));
    await vi.waitFor(() => expect(seen.at(-1)).toEqual({ version: 2, agents: ["alchemy-1"] }), {
      timeout: hotMs,
      interval: 10,
    });
  });

  test("a swapped link to another directory, as Kubernetes does it, is an edit", async () => {
    await mkdir(join(confDir, "..1"));
    await mkdir(join(confDir, "..2"));
    await writeFile(join(confDir, "..1/tenants.yaml"), confWith("one"));
    await writeFile(join(confDir, "..2/tenants.yaml"), confWith("two"));
    await symlink("..1", join(confDir, "..data"));
    await rm(join(confDir, "tenants.yaml"));
    await symlink("..data/tenants.yaml", join(confDir, "tenants.yaml"));
    await (await startControl()).untilReady();
    const seen = await follow();
    await symlink("..2", join(confDir, "..new"));
    await rename(join(confDir, "..new"), join(confDir, "..data"));
    await vi.waitFor(() => expect(seen.at(-1)?.agents).toEqual(["two"]), { timeout: hotMs, interval: 10 });
  });

  test("a broken edit is refused whole, told with file and line, and the last good one stays", async () => {
    const control = await startControl();
    await control.untilReady();
    const seen = await follow();
    await save(confWith("alchemy-1").replace("agents", "agnets"));
    const complaint = /tenants\.yaml:3:5: tenants\.acme\.agnets: unknown key; did you mean agents\?/;
    await vi.waitFor(async () => expect((await control.status()).configuration.error).toMatch(complaint), patience);
    await vi.waitFor(() => expect(control.lines.join("\n")).toMatch(complaint), patience);
    expect(seen).toEqual([{ version: 1, agents: ["sentinel-1"] }]);
    await save(confWith("alchemy-1"));
    await vi.waitFor(() => expect(seen.at(-1)).toEqual({ version: 2, agents: ["alchemy-1"] }), {
      timeout: hotMs,
      interval: 10,
    });
    expect((await control.status()).configuration.error).toBeUndefined();
  });

  test("versions grow over a restart, and the same content is not published twice by two replicas", async () => {
    const first = await startControl();
    await first.untilReady();
    await first.service.stop();
    await save(confWith("alchemy-1"));
    const replicas = await Promise.all([startControl(), startControl()]);
    await Promise.all(replicas.map((replica) => replica.untilReady()));
    for (const replica of replicas) expect((await replica.status()).configuration.version).toBe(2);
    const seen = await follow();
    await save(confWith("admin-1"));
    await vi.waitFor(() => expect(seen.at(-1)).toEqual({ version: 3, agents: ["admin-1"] }), patience);
    for (const replica of replicas) {
      await vi.waitFor(async () => expect((await replica.status()).configuration.version).toBe(3), patience);
    }
    expect(new Set(seen.map((one) => one.version))).toEqual(new Set([2, 3]));
  });

  test("streams and configuration that were lost with NATS' disk are made again", async () => {
    await (await startControl()).untilReady();
    await nats.stop();
    await rm(join(dir, "nats/jetstream"), { recursive: true });
    await nats.restart();
    const seen = await follow();
    expect(seen.at(-1)?.agents).toEqual(["sentinel-1"]);
  });

  test("20,000 agents of one tenant are in force like one, and so is the withdrawal of a key among them", async () => {
    const agents = Array.from({ length: 20_000 }, (_, index) => `agent-${index}`);
    await (await startControl()).untilReady();
    const seen = await follow();
    await save(confWith("leaked", ...agents));
    await vi.waitFor(() => expect(seen.at(-1)?.agents).toHaveLength(20_001), patience);
    await save(confWith(...agents));
    await vi.waitFor(() => expect(seen.at(-1)?.agents).toHaveLength(20_000), patience);
    expect(seen.at(-1)).toEqual({ version: 3, agents });
    await save(confWith("sentinel-1"));
    await vi.waitFor(() => expect(seen.at(-1)).toEqual({ version: 4, agents: ["sentinel-1"] }), patience);
  }, 60_000);

  test("a restart with a broken file becomes ready with what the services hold, and takes the next good edit", async () => {
    const first = await startControl();
    await first.untilReady();
    await first.service.stop();
    await save("tenants: 7\n");
    const second = await startControl();
    await second.untilReady();
    const { configuration, tenants } = await second.status();
    expect({ ...configuration, tenants }).toMatchObject({
      version: 1,
      error: expect.stringContaining("tenants.yaml:1:1: tenants: "),
      tenants: ["acme"],
    });
    const seen = await follow();
    expect(seen).toEqual([{ version: 1, agents: ["sentinel-1"] }]);
    await save(confWith("alchemy-1"));
    await vi.waitFor(() => expect(seen.at(-1)).toEqual({ version: 2, agents: ["alchemy-1"] }), patience);
    expect((await second.status()).configuration.error).toBeUndefined();
  });

  test("an edit that the bus does not take is told until it is taken", async () => {
    const control = await startControl();
    await control.untilReady();
    await nats.stop();
    await save(confWith("alchemy-1"));
    await vi.waitFor(async () => expect((await control.status()).configuration.publishing).toBeDefined(), patience);
    await nats.restart();
    await vi.waitFor(async () => expect((await control.status()).configuration.version).toBe(2), patience);
    expect((await control.status()).configuration.publishing).toBeUndefined();
    expect((await follow()).at(-1)?.agents).toEqual(["alchemy-1"]);
  }, 60_000);

  test("a broken file at the start ends the service with code 2 and the reason", async () => {
    await writeFile(join(confDir, "tenants.yaml"), "tenants: 7\n");
    const { service, lines } = await startControl();
    expect(await service.exit).toEqual({ code: 2, signal: null });
    expect(lines.join("\n")).toContain("tenants.yaml:1:1: tenants: ");
  });
});

describe("the admin API", () => {
  test("tells version, tenants and replicas to who has the token, and nothing to others", async () => {
    const control = await startControl();
    await control.untilReady();
    await vi.waitFor(async () => expect((await control.status()).services["control"]).toBe(1), patience);
    expect(await control.status()).toMatchObject({
      configuration: { version: 1 },
      tenants: ["acme"],
      services: { ingress: 0 },
    });
    for (const wrong of ["", "Bearer", "Bearer wrong", `Basic ${adminToken}`, `Bearer ${adminToken}x`]) {
      for (const path of ["/v1/status", "/nowhere"]) {
        const refused = await control.ask(wrong, path);
        expect(refused.status).toBe(401);
        expect(await refused.json()).toEqual({ error: "unauthorized", message: expect.any(String) });
      }
    }
    expect(control.lines.join("\n")).not.toContain(adminToken);
    expect((await control.ask(undefined, "/nowhere")).status).toBe(404);
    expect(await readFile(join(confDir, "tenants.yaml"), "utf8")).toBe(confWith("sentinel-1"));
  });
});
