import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepTenantsFile } from "./tenants-file.ts";

const hashes = { "sentinel-1": "sha256:1", "alchemy-1": "sha256:2", "admin-1": "sha256:3" };
let dir: string;
let file: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-demo-"));
  file = join(dir, "tenants.yaml");
});

afterEach(() => rm(dir, { recursive: true, force: true }));

const keep = () => keepTenantsFile(file, { hashes, secretFile: join(dir, "demo-signing-secret") });

test("an edited file stays as it is, and the demo upstream keeps its port", async () => {
  const { port } = await keep();
  const edited = (await readFile(file, "utf8")).replace("maxRequests: 60", "maxRequests: 3 # mine");
  await writeFile(file, edited);
  expect(await keep()).toEqual({ port });
  expect(await readFile(file, "utf8")).toBe(edited);
});

test("where somebody else has the port, another one is written into the file and nothing else changes", async () => {
  const { port } = await keep();
  const before = `# mine\n${await readFile(file, "utf8")}`;
  await writeFile(file, before);
  const other = createServer().listen(port, "127.0.0.1");
  await once(other, "listening");
  try {
    const { port: next } = await keep();
    expect(next).not.toBe(port);
    expect(await readFile(file, "utf8")).toBe(before.replace(`:${port}/mcp`, `:${next}/mcp`));
  } finally {
    other.close();
  }
});

test.each(["tenants: [", "tenants: {}\n"])("a file without the demo upstream, %j, is left alone", async (text) => {
  await writeFile(file, text);
  expect((await keep()).port).toBeGreaterThan(0);
  expect(await readFile(file, "utf8")).toBe(text);
});
