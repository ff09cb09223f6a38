import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile, appendFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { destinationSchema } from "@sluice/contracts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileSink } from "./file.ts";
import type { Batch, SinkContext, SinkOf } from "./sink.ts";

const never = new AbortController().signal;
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-files-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const at = new Date(0);
const batchOf = (first: number, count: number, length = 10): Batch => ({
  log: "acme",
  records: Array.from({ length: count }, (_, index) => ({
    ...{ index: first + index, type: "call", isAlarming: false, at },
    text: String(first + index).padStart(length, "0"),
  })) as unknown as Batch["records"],
});

function sinkOf(more: Record<string, unknown> = {}, fileDir: string | undefined = dir) {
  const destination = destinationSchema.parse({ type: "file", path: "siem/audit.jsonl", ...more }) as SinkOf<"file">;
  const sink = fileSink(destination, { fileDir, log: "acme" } as SinkContext);
  return (batch: Batch) => sink.send(batch, never);
}
const text = (name = "audit.jsonl") => readFile(join(dir, "acme/siem", name), "utf8");
const linesOf = ({ records }: Batch) => records.map((record) => `${record.text}\n`).join("");

describe("a file", () => {
  test("grows by whole lines below a directory of its log's own", async () => {
    const send = sinkOf();
    await send(batchOf(0, 2));
    await send(batchOf(2, 2));
    expect(await text()).toBe(linesOf(batchOf(0, 4)));
  });

  test("is begun anew when it is full, and the oldest go: together they hold the newest records, each once", async () => {
    const send = sinkOf({ maxBytes: 1_024, maxFiles: 3 });
    for (let first = 0; first < 50; first += 5) await send(batchOf(first, 5, 99));
    expect((await readdir(join(dir, "acme/siem"))).toSorted()).toEqual([
      ...["audit.jsonl", "audit.jsonl.000000000030", "audit.jsonl.000000000040"],
    ]);
    const all = await Promise.all(["audit.jsonl.000000000030", "audit.jsonl.000000000040", "audit.jsonl"].map(text));
    expect(all.join("")).toBe(linesOf(batchOf(20, 30, 99)));
  });

  test("A37: what a crash left of a line is cut off before the batch comes again", async () => {
    const send = sinkOf();
    await send(batchOf(0, 3));
    await appendFile(join(dir, "acme/siem/audit.jsonl"), `0000000003\n${"0".repeat(200_000)}`);
    await send(batchOf(4, 1));
    expect(await text()).toBe(linesOf(batchOf(0, 5)));
  });

  test("A41: without descriptors it says so and takes nothing; it goes on when there are some", async () => {
    const send = sinkOf();
    await send(batchOf(0, 1));
    const script = `ulimit -n 64 && exec "$0" --input-type=module -e '
      import { open } from "node:fs/promises";
      const { fileSink } = await import(process.env.SINK);
      const sink = fileSink({ path: "siem/audit.jsonl", maxBytes: 1e6, maxFiles: 2 }, { fileDir: process.env.DIR, log: "acme" });
      const batch = { log: "acme", records: [{ index: 1, text: "0000000001" }] };
      const handles = [];
      try { for (;;) handles.push(await open("/dev/null")); } catch {}
      const reason = await sink.send(batch).catch((error) => error.name + " " + error.message);
      for (const handle of handles) await handle.close();
      await sink.send(batch);
      console.log(reason);
    '`;
    expect(await runInShell(script)).toBe("Away EMFILE");
    expect(await text()).toBe(linesOf(batchOf(0, 2)));
  });

  test("A41: on a disk that takes no more, half a batch is taken back; all of it comes when there is room", async () => {
    const send = sinkOf();
    await send(batchOf(0, 1));
    // A file may have 8 blocks of 1,024 bytes: the system refuses what goes beyond, in the middle of the batch.
    const script = `ulimit -f 8 && exec "$0" --input-type=module -e '
      process.on("SIGXFSZ", () => {});
      const { fileSink } = await import(process.env.SINK);
      const sink = fileSink({ path: "siem/audit.jsonl", maxBytes: 1e6, maxFiles: 2 }, { fileDir: process.env.DIR, log: "acme" });
      const records = Array.from({ length: 20 }, (_, index) => ({ index: index + 1, text: "x".repeat(999) }));
      console.log(await sink.send({ log: "acme", records }).catch((error) => error.name + " " + error.message));
    '`;
    expect(await runInShell(script)).toBe("Away EFBIG");
    expect(await text()).toBe(linesOf(batchOf(0, 1)));
    await send(batchOf(1, 20, 999));
    expect(await text()).toBe(linesOf(batchOf(0, 1)) + linesOf(batchOf(1, 20, 999)));
  });

  test("is never outside of the directory for files, whatever links there are; without that directory there is none", async () => {
    const outside = await mkdtemp(join(tmpdir(), "sluice-files-"));
    try {
      await mkdir(join(dir, "acme"));
      await symlink(outside, join(dir, "acme/siem"));
      await expect(sinkOf()(batchOf(0, 1))).rejects.toThrow("its path leads out of AUDIT_FILE_DIR");
      await writeFile(join(outside, "other"), "kept");
      await symlink(join(outside, "other"), join(dir, "acme/audit.jsonl"));
      await expect(sinkOf({ path: "audit.jsonl" })(batchOf(0, 1))).rejects.toThrow("ELOOP");
      expect(await readFile(join(outside, "other"), "utf8")).toBe("kept");
    } finally {
      await rm(outside, { recursive: true });
    }
    const nowhere = fileSink({ path: "a" } as SinkOf<"file">, { log: "acme" } as SinkContext);
    await expect(nowhere.send(batchOf(0, 1), never)).rejects.toThrow("AUDIT_FILE_DIR is not set");
    for (const path of ["/etc/passwd", "../a", "a/../../b", "a//b", ".hidden", "a/./b", "a\u0000b", ""])
      expect(destinationSchema.safeParse({ type: "file", path }).success, path).toBe(false);
  });
});

async function runInShell(script: string): Promise<string> {
  const { stdout } = await promisify(execFile)("bash", ["-c", script, process.execPath], {
    env: { ...process.env, DIR: dir, SINK: join(import.meta.dirname, "../../dist/sinks/file.js") },
  });
  return stdout.trim();
}
