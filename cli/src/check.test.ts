import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";

const sluice = join(import.meta.dirname, "../bin/sluice.mjs");
const good = `tenants:
  acme:
    mcp: { endpoints: [{ name: main, url: "https://mcp.example.com/mcp" }] }
`;
const warned = `${good}    accessRules: [{ agentPattern: nobody, allowedTools: [echo] }]\n`;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-check-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function check(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const done = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>();
  execFile(
    process.execPath,
    [sluice, "check", ...args],
    { env: { ...process.env, UPSTREAM_NETWORKS: "", ...env } },
    (error, stdout, stderr) => done.resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr }),
  );
  return done.promise;
}

const save = (text: string) => writeFile(join(dir, "tenants.yaml"), text);

it("exits with 0 where the configuration can be used; warnings go to stdout", async () => {
  await save(warned);
  const { code, stdout, stderr } = await check([dir]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toBe(
    `${join(dir, "tenants.yaml")}:4:21: tenants.acme.accessRules.0.agentPattern: nobody fits no agent of this tenant\n`,
  );
});

it("exits with 2 where it can't, each problem on a line of stderr; so it does where there is no file", async () => {
  await save(good.replace("mcp:", "mpc:").replace("tenants:", "tenant: {}\ntenants:"));
  const refused = await check([join(dir, "tenants.yaml")]);
  expect([refused.code, refused.stdout]).toEqual([2, ""]);
  expect(refused.stderr.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/:1:1: tenant: unknown key; did you mean tenants\?$/),
    expect.stringMatching(/:4:5: tenants\.acme\.mpc: unknown key; did you mean mcp\?$/),
  ]);
  await rm(join(dir, "tenants.yaml"));
  const missing = await check([dir]);
  expect([missing.code, missing.stderr]).toEqual([
    2,
    `${join(dir, "tenants.yaml")}:1:1: there is no such file or directory\n`,
  ]);
});

it("tells the same as JSON", async () => {
  const file = join(dir, "tenants.yaml");
  await save(warned);
  expect(JSON.parse((await check(["--json", dir])).stdout)).toMatchObject({
    ok: true,
    problems: [],
    warnings: [{ file, line: 4, column: 21, path: "tenants.acme.accessRules.0.agentPattern" }],
  });
  await save("tenants: {}\nmore: 1\n");
  const { code, stdout } = await check([dir, "--json"]);
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toEqual({
    ok: false,
    file,
    problems: [{ file, line: 2, column: 1, path: "more", reason: "unknown key" }],
    warnings: [],
  });
});

it("exits with 1 where it can't be told", async () => {
  await save(good);
  const { code, stderr } = await check([dir], { UPSTREAM_NETWORKS: "10.0.0.0/99" });
  expect([code, stderr]).toEqual([1, expect.stringContaining("UPSTREAM_NETWORKS")]);
});

it("takes upstreams on this machine as sluice up does, unless UPSTREAM_NETWORKS says otherwise", async () => {
  await save(good.replace("https://mcp.example.com", "http://127.0.0.1:4000"));
  expect(await check([dir], { UPSTREAM_NETWORKS: undefined })).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(await check([dir])).toMatchObject({ code: 2, stderr: expect.stringContaining("127.0.0.1") });
});

it("tells a mistake on the command line in a line, and where there is more", async () => {
  const { code, stderr } = await check(["--nope"]);
  expect([code, stderr]).toEqual([1, "error: unknown option '--nope'\n(see --help)\n"]);
});

it("10,000 agents are checked whole", async () => {
  const hash = (index: number) => createHash("sha256").update(`key ${index}`).digest("hex");
  const agents = Array.from(
    { length: 10_000 },
    (_, index) => `      - { id: agent-${index}, apiKeys: ["sha256:${hash(index)}"] }\n`,
  );
  await save(`${good}    agents:\n${agents.join("")}      - { id: agent-7, apiKeys: ["sha256:${hash(9_999)}"] }\n`);
  const { code, stderr } = await check([dir]);
  expect(code).toBe(2);
  expect(stderr.trimEnd().split("\n")).toEqual([
    expect.stringMatching(/:10005:11: .*another agent/),
    expect.stringMatching(/:10005:34: .*belongs to agent agent-9999/),
  ]);
});
