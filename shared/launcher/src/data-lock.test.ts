import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockDataDir } from "./index.ts";

const LAUNCHER = JSON.stringify(new URL("./index.ts", import.meta.url).href);
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-lock-"));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

test("a data directory has one owner at a time, and the second is told where the first one is", async () => {
  const lock = await lockDataDir(dir);
  await expect(lockDataDir(dir)).rejects.toThrow(`(it is starting or stopping) (pid ${process.pid})`);
  await writeFile(join(dir, "run.json"), JSON.stringify({ url: "http://127.0.0.1:8080", pid: process.pid }));
  await expect(lockDataDir(dir)).rejects.toThrow(
    `a Sluice already runs here at http://127.0.0.1:8080 (pid ${process.pid})`,
  );
  await lock[Symbol.asyncDispose]();
  await using _again = await lockDataDir(dir);
});

test("an owner that was killed by -9 does not keep it", async () => {
  const program = `import { lockDataDir } from ${LAUNCHER};
    await lockDataDir(${JSON.stringify(dir)});
    console.log("held");
    setInterval(() => {}, 1e6);`;
  const owner = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(owner.stdout, "data");
  await expect(lockDataDir(dir)).rejects.toThrow(`(pid ${owner.pid})`);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  await expect
    .poll(async () => lockDataDir(dir).then((lock) => lock[Symbol.asyncDispose]()), { timeout: 10_000 })
    .toBe(undefined);
});
