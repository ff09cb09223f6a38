import { chmod, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "@sluice/contracts";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { keepCopy, replaceFile } from "./conf-file.ts";

/** No user of this machine that matters; root may write where it pleases. */
const nobody = 65_534;

let dir: string;
let file: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-conf-file-"));
  file = join(dir, "tenants.yaml");
  await writeFile(file, "old", { mode: 0o640 });
});

afterEach(() => rm(dir, { recursive: true, force: true }));

it("the new text takes the old one's place with its rights, and nothing else is left behind", async () => {
  await replaceFile(file, "new");
  expect(await readFile(file, "utf8")).toBe("new");
  expect((await stat(file)).mode & 0o777).toBe(0o640);
  expect(await readdir(dir)).toEqual(["tenants.yaml"]);
});

it("a link stays one, and the file behind it changes", async () => {
  const link = join(dir, "link.yaml");
  await symlink("tenants.yaml", link);
  await replaceFile(link, "new");
  expect([await readlink(link), await readFile(file, "utf8")]).toEqual(["tenants.yaml", "new"]);
});

it("each copy is kept beside the file, also where there is one of before", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.parse("2026-11-21T09:00:00.000Z") });
  const first = await keepCopy(file, "refused");
  vi.setSystemTime(Date.parse("2026-11-21T09:00:00.001Z"));
  const second = await keepCopy(file, "refused again");
  vi.useRealTimers();
  expect(first).toBe(`${file}.2026-11-21T09-00-00.000Z.refused`);
  expect([await readFile(first, "utf8"), await readFile(second, "utf8")]).toEqual(["refused", "refused again"]);
  expect(await readFile(file, "utf8")).toBe("old");
});

it("where nothing can be written the refusal says what to do, and the file is as it was", async () => {
  await chmod(dir, 0o555);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(nobody);
  const failure = await replaceFile(file, "new")
    .catch((error: unknown) => error)
    .finally(() => isRoot && process.seteuid?.(0));
  expect(failure).toBeInstanceOf(Fault);
  expect(failure).toMatchObject({ kind: "conflict", details: { code: "EACCES" } });
  expect((failure as Fault).message).toMatch(/can't be written here \(EACCES\): get the text with sluice conf show/);
  expect([await readFile(file, "utf8"), await readdir(dir)]).toEqual(["old", ["tenants.yaml"]]);
});
