import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { watchFile } from "./watch-file.ts";

const patience = { timeout: 10_000, interval: 10 };
let dir: string;
let scope: DisposableStack;

beforeEach(async () => {
  scope = new DisposableStack();
  dir = await mkdtemp(join(tmpdir(), "sluice-watch-"));
  await writeFile(join(dir, "tenants.yaml"), "one");
});

afterEach(async () => {
  scope.dispose();
  await rm(dir, { recursive: true, force: true });
});

function watch(file: string) {
  const seen = vi.fn();
  scope.use(watchFile(file, seen));
  return { seen, untilSeen: () => vi.waitFor(() => expect(seen).toHaveBeenCalled(), patience) };
}

it("tells of a file that is written in place, and of one that takes its place", async () => {
  const file = join(dir, "tenants.yaml");
  const { seen, untilSeen } = watch(file);
  await appendFile(file, "two");
  await untilSeen();
  seen.mockClear();
  await writeFile(join(dir, "new"), "three");
  await rename(join(dir, "new"), file);
  await untilSeen();
});

it("tells of a change that the directory's events do not show, as on a network file system", async () => {
  await mkdir(join(dir, "elsewhere"));
  await rename(join(dir, "tenants.yaml"), join(dir, "elsewhere/tenants.yaml"));
  await symlink("elsewhere/tenants.yaml", join(dir, "tenants.yaml"));
  const { untilSeen } = watch(join(dir, "tenants.yaml"));
  await appendFile(join(dir, "elsewhere/tenants.yaml"), "two");
  await untilSeen();
});

it("waits for a directory that comes later, and does not wait for one to become quiet", async () => {
  const file = join(dir, "later/tenants.yaml");
  const { seen, untilSeen } = watch(file);
  // What is there to see is seen first; then the directory comes.
  await vi.waitFor(async () => {
    await mkdir(join(dir, "later"), { recursive: true });
    await writeFile(file, `${seen.mock.calls.length}${Math.random()}`);
    expect(seen).toHaveBeenCalled();
  }, patience);
  await untilSeen();
  const other = watch(join(dir, "tenants.yaml"));
  const noise = setInterval(() => void writeFile(join(dir, "noise"), "x").catch(() => {}), 20);
  scope.defer(() => clearInterval(noise));
  await other.untilSeen();
});
