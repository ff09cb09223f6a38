import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Bus, ConfHistory } from "@sluice/bus";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminCall } from "./admin-call.ts";
import { natsPassword } from "./bus-spy.ts";
import { as, send, toolCall } from "./http.ts";

interface Edition {
  readonly version: number;
  readonly by: { readonly kind: string; readonly operator?: string; readonly to?: number };
  readonly isKept: boolean;
  readonly bytes: number;
}

const mostEditions = 6;
const run = promisify(execFile);
const sluice = join(import.meta.dirname, "../../cli/bin/sluice.mjs");

let upstream: FakeUpstream;
let house: TestHouse;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  house = await startTestHouse({
    tenants: tenants("first"),
    replicas: { control: 2, ingress: 2, policy: 2 },
    envOf: { control: { CONF_HISTORY_MAX_EDITIONS: String(mostEditions) } },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const tenants = (tool: string) => ({
  acme: {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: [tool] }],
  },
});
const file = () => join(house.confDir, "tenants.yaml");
const textNow = () => readFile(file(), "utf8");
const status = async () =>
  (await adminCall(house, { path: "/v1/status" })).body["configuration"] as {
    version: number;
    stale: boolean;
    problems?: object[];
  };
const history = async () => {
  const { body } = await adminCall(house, { path: "/v1/conf/history" });
  return body as unknown as { current: number; editions: Edition[] };
};
const shown = async (version: number | "current") =>
  (await adminCall(house, { path: `/v1/conf/${version}` })).body["text"] as string;
const cli = async (...args: string[]) =>
  (await run(process.execPath, [sluice, "conf", ...args, "--data", house.dataDir])).stdout;
const rollback = (version: number) => adminCall(house, { path: "/v1/conf/rollback", body: { version } });

/** Saves the file as editors do, at once and whole, and waits until the history has it. */
async function edit(text: string): Promise<number> {
  await writeFile(`${file()}.new`, text);
  await rename(`${file()}.new`, file());
  await until("the edit in the history", async () => (await shown("current")) === text);
  return (await status()).version;
}

async function untilAllowed(tool: string): Promise<void> {
  for (const { url } of house.house.of("ingress")) {
    const call = () => send(`${url}/mcp`, { headers: as(house.key("a-1")), body: toolCall(tool) });
    await until(`${tool} to be allowed`, async () => (await call()).status === 200);
  }
}

const metric = async (name: string) => {
  const answer = await fetch(`${house.house.of("control")[0]?.health}/metrics`);
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(await answer.text())?.[1]);
};

describe("what was in force is kept", () => {
  it("each accepted edition has its text, once for all replicas of control; other words for the same replace it", async () => {
    const first = await textNow();
    await until("the first edition", async () => (await shown("current")) === first);
    const next = first.replace("first", "second");
    const version = await edit(next);
    await edit(`# the same, said otherwise\n${next}`);
    const { current, editions } = await history();
    expect({ current, seen: editions.map((one) => one.version) }).toEqual({
      current: version,
      seen: [version, version - 1],
    });
    expect(editions.map(({ by }) => by)).toEqual([{ kind: "file" }, { kind: "file" }]);
    expect(await shown(version - 1)).toBe(first);
    expect(await shown(version)).toBe(`# the same, said otherwise\n${next}`);
    expect(await cli("show")).toBe(`# the same, said otherwise\n${next}`);
    expect(await cli("show", String(version - 1))).toBe(first);
    const diff = await cli("diff");
    expect(diff).toContain("+# the same, said otherwise\n");
    expect(diff).toMatch(/^- +- first\n\+ +- second$/m);
    expect(await cli("history")).toMatch(new RegExp(`^VERSION .*\n${version} \\*.*edit of the file\n${version - 1} `));
  });

  it("a broken edit changes nothing, is told with line and reason, shows in a gauge, and is in no version", async () => {
    const good = await textNow();
    const before = await history();
    const errors = await metric("sluice_conf_errors_total");
    await writeFile(file(), good.replace("accessRules", "acessRules"));
    await until("the refusal", async () => (await status()).stale);
    expect((await status()).problems).toEqual([
      {
        file: file(),
        line: expect.any(Number),
        column: 5,
        path: "tenants.acme.acessRules",
        reason: "unknown key; did you mean accessRules?",
      },
    ]);
    expect([await metric("sluice_conf_stale"), await metric("sluice_conf_errors_total")]).toEqual([1, errors + 1]);
    expect(await house.logs()).toContain("did you mean accessRules?");
    expect(await history()).toEqual(before);
    await untilAllowed("second");
    await writeFile(file(), good);
    await until("the good file", async () => !(await status()).stale);
    expect(await metric("sluice_conf_stale")).toBe(0);
    expect(await history()).toEqual(before);
  });
});

describe("going back", () => {
  it("writes the older text into the file and into force as a new version; who did it is in history and audit trail", async () => {
    const newer = await textNow();
    const [, older] = (await history()).editions;
    const target = older?.version ?? 0;
    const wanted = await shown(target);
    expect(await cli("rollback", String(target))).toBe(
      `The text of version ${target} is in force, as version ${target + 2}.\n`,
    );
    expect(await textNow()).toBe(wanted);
    await untilAllowed("first");
    const { current, editions } = await history();
    expect(current).toBe(target + 2);
    expect(editions[0]).toMatchObject({ version: current, by: { kind: "rollback", operator: "admin", to: target } });
    expect(await shown(target + 1)).toBe(newer);
    const recorded = await until("the record", async () => {
      const rows = await house.query(
        "select operator, subject, result from audit_actions where action = 'conf.rollback'",
      );
      return rows.length > 0 && rows[0]?.["result"] === "done" ? rows : undefined;
    });
    expect(recorded).toEqual([{ operator: "admin", subject: `version ${target}`, result: "done" }]);
  });

  it("keeps a refused file beside the one that takes its place", async () => {
    const { version } = await status();
    const good = await textNow();
    const broken = `${good}nonsense: 1\n`;
    await writeFile(file(), broken);
    await until("the refusal", async () => (await status()).stale);
    const { status: code, body } = await rollback(version);
    expect([code, body]).toEqual([
      200,
      { version, kept: expect.stringMatching(/tenants\.yaml\.[-.0-9TZ]+\.refused$/) },
    ]);
    expect([await textNow(), await readFile(String(body["kept"]), "utf8")]).toEqual([good, broken]);
    expect((await status()).stale).toBe(false);
  });

  it("is refused where the older text is not valid any more, or not kept, and leaves everything as it is", async () => {
    const [before, text] = [await history(), await textNow()];
    await using bus = await control("control");
    const by = { kind: "file" } as const;
    await historyOf(bus).record({ version: 1, digest: "none", text: text.replace("http:", "ftp:"), by, tenants: 1 });
    const refused = await rollback(1);
    expect([refused.status, refused.body["error"]]).toEqual([409, "conflict"]);
    expect(refused.body["problems"]).toEqual([expect.stringMatching(/^version 1:\d+:\d+: .*must be an http/)]);
    const failure = await cli("rollback", "1").catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/version 1 is not valid any more: .*http/),
    });
    expect(await rollback(77)).toMatchObject({ status: 404, body: { message: expect.stringMatching(/not kept/) } });
    expect(await rollback(0)).toMatchObject({ status: 400 });
    expect([(await history()).current, await textNow()]).toEqual([before.current, text]);
  });
});

describe("bounds", () => {
  it("a text of megabytes is kept whole; of more versions than are to be kept the oldest go", async () => {
    const hash = (index: number) => `sha256:${createHash("sha256").update(`key ${index}`).digest("hex")}`;
    const text = await textNow();
    const many = Array.from(
      { length: 20_000 },
      (_, index) => `      - { id: many-${index}, apiKeys: ["${hash(index)}"] }\n`,
    );
    const large = text.replace("    agents:\n", `    agents:\n${many.join("")}`);
    expect(large.length).toBeGreaterThan(1 << 20);
    const version = await edit(large);
    expect((await history()).editions.find((one) => one.version === version)).toMatchObject({
      isKept: true,
      bytes: large.length,
    });
    for (let round = 0; round < mostEditions; round++) await edit(text.replace("- first", `- tool-${round}`));
    const { editions } = await history();
    expect(editions.map((one) => one.version)).toEqual(
      Array.from({ length: mostEditions }, (_, back) => version + mostEditions - back),
    );
    expect(await adminCall(house, { path: `/v1/conf/${version}` })).toMatchObject({ status: 404 });
  }, 120_000);

  it("no service but control can read earlier versions", async () => {
    await using bus = await control("ingress");
    await expect(historyOf(bus).list()).rejects.toThrow();
  });
});

async function control(service: "control" | "ingress"): Promise<Bus> {
  const pass = await natsPassword(house, service);
  return Bus.connect({ url: house.house.parts.nats.url, service, user: service, pass });
}

const historyOf = (bus: Bus) => new ConfHistory(bus, { replicas: 1, mostEditions: 100, mostBytes: 1 << 24 });
