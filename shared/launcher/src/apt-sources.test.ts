import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mirrorsOf, parseDeb822, parseOneLine } from "./apt-sources.ts";

let etcApt: string;

beforeEach(async () => {
  etcApt = await mkdtemp(join(tmpdir(), "sluice-apt-"));
  await mkdir(join(etcApt, "sources.list.d"));
});

afterEach(() => rm(etcApt, { recursive: true }));

test("a deb822 stanza gives its mirrors with their key, and a disabled one gives none", () => {
  const text = [
    "Types: deb deb-src",
    "# a remark",
    "URIs: http://mirror.test/debian",
    "Suites: bookworm bookworm-updates",
    "Components: main contrib",
    "Signed-By:",
    " -----BEGIN PGP PUBLIC KEY BLOCK-----",
    " .",
    " -----END PGP PUBLIC KEY BLOCK-----",
    "",
    "Enabled: no",
    "Types: deb",
    "URIs: http://off.test/debian",
    "Suites: bookworm",
    "Components: main",
  ].join("\n");
  expect(parseDeb822(text)).toEqual([
    {
      uri: "http://mirror.test/debian",
      signedBy: "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n -----END PGP PUBLIC KEY BLOCK-----",
      suites: ["bookworm", "bookworm-updates"],
      components: ["main", "contrib"],
    },
  ]);
});

test("a one-line source gives its mirror with its options, and remarks and deb-src give none", () => {
  const text = [
    "# deb http://off.test/debian bookworm main",
    "deb-src http://src.test/debian bookworm main",
    "deb [arch=amd64 signed-by=/keys/debian.gpg trusted=yes] http://mirror.test/debian bookworm main # here",
  ].join("\n");
  expect(parseOneLine(text)).toEqual([
    {
      uri: "http://mirror.test/debian",
      signedBy: "/keys/debian.gpg",
      trusted: "yes",
      suites: ["bookworm"],
      components: ["main"],
    },
  ]);
});

test("the Debian archive comes before other archives, and security and vendor suites are left out", async () => {
  await writeFile(
    join(etcApt, "sources.list"),
    "deb http://vendor.test/tools bookworm main\ndeb http://vendor.test/sdk sdk-bookworm main\n",
  );
  await writeFile(
    join(etcApt, "sources.list.d/security.list"),
    "deb http://mirror.test/debian-security bookworm-security main\n",
  );
  await writeFile(
    join(etcApt, "sources.list.d/debian.sources"),
    "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n",
  );
  expect(await mirrorsOf(etcApt)).toEqual([{ uri: "http://mirror.test/debian" }, { uri: "http://vendor.test/tools" }]);
});
