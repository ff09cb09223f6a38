// `npm run check`: types of the tests, lint, format, unused code, and names that must not be in the repository.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const ROOT = new URL("..", import.meta.url).pathname;
process.chdir(ROOT);

/** Host names of registries and paths of a machine; this file is the one that may name them. */
const FORBIDDEN =
  /registry\.npmjs\.org|registry\.yarnpkg\.com|pypi\.org\/simple|"resolved": "https?:|(?<![\w.])\/(?:work|root|home)\/[a-z]/;
const NOT_SEARCHED = /^(?:scripts\/check\.mjs|LICENSE)$/;

const steps = [
  ["types of the tests", "tsc", ["-p", "tsconfig.test.json"]],
  ["lint", "oxlint", ["--type-aware"]],
  ["format", "prettier", ["--check", "--log-level", "warn", "."]],
  ["unused code", "knip", ["--no-progress", "--no-config-hints"]],
];

let failed = 0;
for (const [name, command, args] of steps) {
  process.stdout.write(`check: ${name}\n`);
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) failed += 1;
}
process.stdout.write("check: names\n");
const listing = spawnSync("git", ["ls-files"], { encoding: "utf8" });
if (listing.status !== 0) {
  process.stdout.write(`git can't list the repository's files: ${listing.error?.message ?? listing.stderr}\n`);
  failed += 1;
}
const files = (listing.stdout ?? "").split("\n").filter((file) => file !== "" && existsSync(file));
for (const file of files.filter((path) => !NOT_SEARCHED.test(path))) {
  const line = readFileSync(file, "utf8")
    .split("\n")
    .findIndex((text) => FORBIDDEN.test(text));
  if (line === -1) continue;
  process.stdout.write(`${file}:${line + 1}: names a registry's host or a path of one machine\n`);
  failed += 1;
}
process.stdout.write(failed === 0 ? "check: all good\n" : `check: ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
