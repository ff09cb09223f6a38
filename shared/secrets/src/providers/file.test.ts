import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fileProvider } from "./file.ts";

let dir: string;
let watch: Disposable | undefined;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), "sluice-secret-file-"))));
afterEach(async () => {
  watch?.[Symbol.dispose]();
  await chmod(dir, 0o755);
  await rm(dir, { recursive: true });
});

function follow(path: string) {
  const told: string[] = [];
  watch = fileProvider().watch(path, {
    value: (text) => void told.push(`value ${text}`),
    problem: (reason) => void told.push(`problem ${reason}`),
  });
  const next = (expected: string) => vi.waitFor(() => expect(told.at(-1)).toBe(expected), 10_000);
  return { told, next };
}

describe("a secret in a file", () => {
  test("is its text without white space around it, and again when it was replaced or rewritten", async () => {
    const path = join(dir, "secret");
    await writeFile(path, " first\n");
    const { told, next } = follow(path);
    await next("value first");
    await writeFile(join(dir, "new"), "second\n");
    await rename(join(dir, "new"), path);
    await next("value second");
    await writeFile(path, "third");
    await next("value third");
    expect(told).toEqual(["value first", "value second", "value third"]);
  });

  test("is read again when Kubernetes swaps the link on the way to it, without a moment in which it is missing", async () => {
    for (const version of ["1", "2"]) {
      await mkdir(join(dir, `..v${version}`));
      await writeFile(join(dir, `..v${version}`, "key"), `value-${version}`);
    }
    await symlink("..v1", join(dir, "..data"));
    await symlink(join("..data", "key"), join(dir, "key"));
    const { told, next } = follow(join(dir, "key"));
    await next("value value-1");
    await symlink("..v2", join(dir, "..data_tmp"));
    await rename(join(dir, "..data_tmp"), join(dir, "..data"));
    await rm(join(dir, "..v1"), { recursive: true });
    await next("value value-2");
    expect(told).toEqual(["value value-1", "value value-2"]);
  });

  test("that is missing, empty, no text, too large or a directory is a problem, until it is good", async () => {
    const path = join(dir, "secret");
    const { next } = follow(path);
    await next("problem there is no such file");
    await writeFile(path, "\n");
    await next("problem the file is empty");
    await writeFile(path, Buffer.from([0x61, 0xff, 0xfe]));
    await next("problem the file is no UTF-8 text");
    await writeFile(path, "x".repeat(70_000));
    await next("problem the file is larger than 65536 bytes");
    await rm(path);
    await mkdir(path);
    await next("problem it is no file");
    await rm(path, { recursive: true });
    await writeFile(path, "good at last");
    await next("value good at last");
  });
});
