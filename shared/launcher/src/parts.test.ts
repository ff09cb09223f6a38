import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startNats, startPostgres, startRedis } from "./index.ts";
import type { LaunchOptions, Part } from "./index.ts";

/** The first test of a machine fetches the servers. */
const START_DEADLINE_MS = 120_000;
const own = { env: { PATH: process.env["PATH"], SLUICE_CACHE: process.env["SLUICE_CACHE"] } };
let dataDir: string;
let parts: Part[];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-part-"));
  parts = [];
});

afterEach(async () => {
  await Promise.all(parts.map((part) => part.stop()));
  await rm(dataDir, { recursive: true, force: true });
});

async function keep(part: Promise<Part>): Promise<Part> {
  parts.push(await part);
  return part;
}

async function dial(part: Part): Promise<Socket> {
  const socket = connect({ port: Number(new URL(part.url).port), host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

async function nextLine(socket: Socket): Promise<string> {
  const [line] = await once(createInterface({ input: socket }), "line");
  return line as string;
}

async function redis(part: Part, ...command: string[]): Promise<string> {
  const socket = await dial(part);
  socket.write(`${command.join(" ")}\r\n`);
  const lines: string[] = [];
  for await (const line of createInterface({ input: socket })) {
    lines.push(line);
    if (!line.startsWith("$") || line === "$-1") break;
  }
  socket.destroy();
  return lines.at(-1)!;
}

async function sql(part: Part, query: string): Promise<unknown[]> {
  const client = new Client({ connectionString: part.url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query({ text: query, rowMode: "array" })).rows.flat();
  } finally {
    await client.end();
  }
}

async function natsInfo(part: Part): Promise<{ version: string; jetstream: boolean; auth_required?: boolean }> {
  const socket = await dial(part);
  const info = JSON.parse((await nextLine(socket)).replace(/^INFO /, ""));
  socket.destroy();
  return info;
}

const starters: [string, (options: LaunchOptions) => Promise<Part>][] = [
  ["nats", startNats],
  ["redis", startRedis],
  ["postgres", startPostgres],
];

describe.each(starters)("%s", (name, start) => {
  const at = (dir: string): LaunchOptions => ({ dataDir: join(dataDir, dir), ...own });

  test(
    "kill -9 and restart keep the port, and another process id serves",
    async () => {
      const part = await keep(start(at("a")));
      const { pid, url } = part;
      await part.kill("SIGKILL");
      expect(part.pid).toBeUndefined();
      await part.restart();
      expect(part.url).toBe(url);
      expect(part.pid).not.toBe(pid);
      (await dial(part)).destroy();
    },
    START_DEADLINE_MS,
  );

  test(
    "two run side by side, and a directory in use is refused with its path",
    async () => {
      const [one, two] = await Promise.all([keep(start(at("a"))), keep(start(at("b")))]);
      expect(one.url).not.toBe(two.url);
      await expect(start(at("a"))).rejects.toThrow(`${join(dataDir, "a")} is in use: another ${name} runs on it`);
    },
    START_DEADLINE_MS,
  );

  test(
    "a server that ends by itself is reported as lost",
    async () => {
      const part = await keep(start(at("a")));
      process.kill(part.pid!, "SIGKILL");
      expect(await part.lost).toMatch(new RegExp(`^${name} ended \\(SIGKILL\\)`));
    },
    START_DEADLINE_MS,
  );

  test(
    "a port that is taken is named",
    async () => {
      const part = await keep(start(at("a")));
      const port = Number(new URL(part.url).port);
      await expect(start({ ...at("b"), port })).rejects.toThrow(`the port is taken`);
    },
    START_DEADLINE_MS,
  );
});

test(
  "NATS serves JetStream, and takes accounts from the given configuration",
  async () => {
    const config = "authorization { user: a, password: b }";
    const part = await keep(startNats({ dataDir, config, ...own }));
    expect(await natsInfo(part)).toMatchObject({ version: part.version, jetstream: true, auth_required: true });
  },
  START_DEADLINE_MS,
);

test(
  "Redis keeps what was written over stop and kill -9",
  async () => {
    const part = await keep(startRedis({ dataDir, ...own }));
    expect(await redis(part, "SET", "a", "1")).toBe("+OK");
    await part.kill("SIGKILL");
    await part.restart();
    expect(await redis(part, "GET", "a")).toBe("1");
    await part.stop();
    const again = await keep(startRedis({ dataDir, ...own }));
    expect(await redis(again, "GET", "a")).toBe("1");
  },
  START_DEADLINE_MS,
);

test(
  "Redis refuses who does not know the password",
  async () => {
    const part = await keep(startRedis({ dataDir, password: 'p w"d', ...own }));
    expect(await redis(part, "PING")).toMatch(/^-NOAUTH/);
    expect(await redis(part, "AUTH", '"p w\\"d"')).toBe("+OK");
  },
  START_DEADLINE_MS,
);

test.each(["machine", "fetched"] as const)(
  "Postgres (%s) keeps committed rows over kill -9 and a new start",
  async (prefer) => {
    const part = await keep(startPostgres({ dataDir, prefer, ...own }));
    await sql(part, "CREATE TABLE t AS SELECT 7 AS n");
    await part.kill("SIGKILL");
    await part.restart();
    expect(await sql(part, "SELECT n FROM t")).toEqual([7]);
    await part.stop();
    const again = await keep(startPostgres({ dataDir, prefer, ...own }));
    expect(await sql(again, "SELECT n FROM t")).toEqual([7]);
    expect(await sql(again, "SELECT current_database() || ' ' || current_setting('fsync')")).toEqual(["sluice on"]);
  },
  START_DEADLINE_MS,
);

test(
  "the Postgres password is asked for and lies in a file for its owner alone",
  async () => {
    const part = await keep(startPostgres({ dataDir, ...own }));
    const file = await stat(join(dataDir, "cluster/password"));
    expect(file.mode & 0o777).toBe(0o600);
    const url = new URL(part.url);
    url.password = "wrong";
    await expect(sql({ ...part, url: url.href }, "SELECT 1")).rejects.toThrow(/password authentication failed/);
  },
  START_DEADLINE_MS,
);

test("a part given by its URL is used as it is, never killed", async () => {
  const part = await startNats({ dataDir, env: { NATS_URL: "nats://bus.test:4222" } });
  expect(part).toMatchObject({ url: "nats://bus.test:4222", source: "url", pid: undefined });
  await expect(part.kill("SIGKILL")).rejects.toThrow(/given by its URL/);
  await part.stop();
});
