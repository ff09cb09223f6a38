import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { freePort, spawnService } from "./index.ts";

const DEADLINE_MS = 120_000;
const LAUNCHER = JSON.stringify(new URL("./index.ts", import.meta.url).href);
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-service-"));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

function node(program: string) {
  return { name: "sample", command: process.execPath, args: ["--input-type=module", "--eval", program] };
}

async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return status !== "" && !/\) [ZX] /.test(status);
}

test("every line is reported and logged, and the exit code is passed on", async () => {
  const lines: string[] = [];
  const logFile = join(dir, "logs/sample.log");
  const program = 'console.log("out"); console.error("err"); process.exitCode = 3;';
  const service = await spawnService({ ...node(program), logFile, onLine: (line) => lines.push(line) });
  expect(await service.exit).toEqual({ code: 3, signal: null });
  expect(lines.toSorted()).toEqual(["err", "out"]);
  await vi.waitFor(async () =>
    expect((await readFile(logFile, "utf8")).split("\n").toSorted()).toEqual(["", "err", "out"]),
  );
});

test("a process that ignores SIGTERM is killed after the deadline, with its children", async () => {
  const { promise: child, resolve } = Promise.withResolvers<number>();
  const program = `import { spawn } from 'node:child_process';
    process.on('SIGTERM', () => {});
    console.log(spawn('sleep', ['300']).pid);
    setInterval(() => {}, 1e6);`;
  const service = await spawnService({ ...node(program), onLine: (line) => resolve(Number(line)) });
  const pid = await child;
  expect(await service.stop("SIGTERM", 100)).toEqual({ code: null, signal: "SIGKILL" });
  expect(service.running).toBe(false);
  await vi.waitFor(async () => expect(await isAlive(pid)).toBe(false));
});

test("a command that is not there is named in the error", async () => {
  const missing = { name: "sample", command: join(dir, "missing"), args: [] };
  await expect(spawnService(missing)).rejects.toThrow(/^sample can't be started: .*missing.*ENOENT/);
});

test(
  "when the launcher is killed by -9, no part, service or child of one stays",
  async () => {
    const program = `import { spawnService, startNats, startPostgres, startRedis } from ${LAUNCHER};
    const at = (name) => ({ dataDir: ${JSON.stringify(dir)} + '/' + name });
    const parts = await Promise.all([startNats(at('nats')), startRedis(at('redis')), startPostgres(at('postgres'))]);
    const service = await spawnService({ name: 's', command: 'sh', args: ['-c', 'trap "" TERM; sleep 300 & echo $!; wait'], onLine: report });
    function report(line) { console.log(JSON.stringify([...parts.map((part) => part.pid), service.pid, Number(line)])); }`;
    const launcher = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface({ input: launcher.stdout }), "line");
    const pids: number[] = JSON.parse(line);
    expect(await Promise.all(pids.map(isAlive))).toEqual(pids.map(() => true));
    launcher.kill("SIGKILL");
    const allGone = async (): Promise<void> =>
      expect(await Promise.all(pids.map(isAlive))).toEqual(pids.map(() => false));
    await vi.waitFor(allGone, { timeout: 10_000 });
  },
  DEADLINE_MS,
);

test("a free port is below the range of outgoing connections, and nobody listens on it", async () => {
  const port = await freePort();
  expect(port).toBeLessThan(32_768);
  await expect(once(connect(port, "127.0.0.1"), "connect")).rejects.toThrow(/ECONNREFUSED/);
});
