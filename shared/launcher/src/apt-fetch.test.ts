import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fetchPackages } from "./apt-fetch.ts";
import { binaryAt } from "./binaries.ts";

const FETCH_DEADLINE_MS = 120_000;
let cacheDir: string;

beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "sluice-cache-"));
});

afterEach(() => rm(cacheDir, { recursive: true }));

test(
  "two processes that fetch at once both end with the same whole directory, and nothing else is left",
  async () => {
    const fetch = { name: "nats-server", suites: ["trixie", "sid"], packages: ["nats-server"], cacheDir };
    const program = `import { fetchPackages } from ${JSON.stringify(new URL("./apt-fetch.ts", import.meta.url).href)};
    process.stdout.write(await fetchPackages(${JSON.stringify(fetch)}));`;
    const other = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
    const [mine, again, theirs] = await Promise.all([fetchPackages(fetch), fetchPackages(fetch), other]);
    expect(again).toBe(mine);
    expect(theirs.stdout).toBe(mine);
    expect(await readdir(cacheDir)).toEqual([`nats-server-${process.arch}`]);
    expect(await binaryAt(join(mine, "usr/sbin/nats-server"))).toMatchObject({
      version: expect.stringMatching(/^2\./),
    });
  },
  FETCH_DEADLINE_MS,
);

test(
  "a package that no suite has is named with the reason, and nothing is left behind",
  async () => {
    const fetch = { name: "none", suites: ["bookworm"], packages: ["sluice-has-no-such-package"], cacheDir };
    await expect(fetchPackages(fetch)).rejects.toThrow(
      /fetching sluice-has-no-such-package failed \(bookworm: .*Unable to locate/,
    );
    expect(await readdir(cacheDir)).toEqual([]);
  },
  FETCH_DEADLINE_MS,
);
