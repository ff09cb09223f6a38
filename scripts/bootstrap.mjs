// Runs the project's own programs on a machine that has nothing but Node 18 or newer and npm: installs what
// package-lock.json names, finds Node 24, builds, and starts the program asked for. No dependencies, plain JavaScript.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";
import { whenNpmIsGone } from "../cli/bin/npm-parent.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const BIN = join(ROOT, "node_modules", ".bin");
const NODE_MAJOR = 24;

/** What can be asked for, and the file that Node 24 runs for it. */
const TASKS = {
  up: ["cli/bin/sluice.mjs", "up"],
  test: ["test/run.mjs"],
  bench: ["test/bench/run.mjs"],
  conformance: ["test/conformance/run.mjs"],
  "conformance:a2a": ["test/conformance-a2a/run.mjs"],
  check: ["scripts/check.mjs"],
  build: [],
};

const [task, ...args] = process.argv.slice(2);
if (!task || !Object.hasOwn(TASKS, task)) {
  fail(`usage: node scripts/bootstrap.mjs <${Object.keys(TASKS).join("|")}> [arguments]`);
}
installPackages();
const node = findNode();
const env = { ...process.env, PATH: [BIN, process.env.PATH].filter(Boolean).join(delimiter) };
build();
if (TASKS[task].length > 0) runTask();

function installPackages() {
  if (isInstalled()) return;
  say("installing the packages of package-lock.json (npm install --no-save)");
  // Not `npm ci`: it refuses the lockfile where a registry lacks another platform's optional package. Types and the
  // compiler are development packages, needed here whatever NODE_ENV says.
  const npm = [
    "install",
    "--no-save",
    "--include=dev",
    "--include=optional",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ];
  // `npm start` puts node_modules/.bin first; npm must not run on the Node that it is about to replace.
  const PATH = (process.env.PATH ?? "").split(delimiter).filter((dir) => !dir.endsWith(join("node_modules", ".bin")));
  const env = { ...process.env, PATH: PATH.join(delimiter) };
  const { status, signal, error } = spawnSync("npm", npm, { cwd: ROOT, stdio: "inherit", env });
  if (error) fail(`npm can't be started (${error.message}); install npm`);
  if (status !== 0) fail(`npm install failed (${signal ?? `exit code ${status}`}); see its output above`, status ?? 1);
}

/** npm notes at the end of an install what it has installed; that is held against what package-lock.json asks for. */
function isInstalled() {
  const noted = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(noted)) return false;
  const installed = JSON.parse(readFileSync(noted, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, integrity, link, optional, devOptional }]) => {
    if (!path.includes("node_modules/")) return true;
    const found = installed[path];
    if (!found) return Boolean(optional || devOptional);
    return Boolean(link) === Boolean(found.link) && version === found.version && integrity === found.integrity;
  });
}

function findNode() {
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR) return process.execPath;
  const packaged = join(BIN, "node");
  const found = spawnSync(packaged, ["--version"], { encoding: "utf8" }).stdout ?? "";
  if (Number(/^v(\d+)/.exec(found)?.[1]) >= NODE_MAJOR) return packaged;
  return fail(
    `Node ${NODE_MAJOR} or newer is needed; this is ${process.version}, and npm has none for ${process.platform}-${process.arch} here. Install Node ${NODE_MAJOR}`,
  );
}

/** tsc looks itself for what has changed: nothing to do takes it a fraction of a second. */
function build() {
  const compiler = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  if (!existsSync(join(ROOT, "cli", "dist", "main.js"))) say("building");
  const { status, signal } = spawnSync(node, [compiler, "-b"], { cwd: ROOT, env, stdio: "inherit" });
  if (status !== 0) fail(`the build failed (${signal ?? `exit code ${status}`}); see the errors above`, status ?? 1);
}

/** Ctrl-C reaches the whole group: this process waits until the program has cleaned up, and ends the way it did. */
function runTask() {
  const child = spawn(node, [join(ROOT, TASKS[task][0]), ...TASKS[task].slice(1), ...args], { env, stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  whenNpmIsGone(() => child.kill("SIGTERM"));
  forwardInterrupt(child);
  child.once("error", (error) => fail(`${node} can't be started: ${error.message}`));
  child.once("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

/** A terminal sends SIGINT to the child too, a supervisor's kill only to this process: the first must not arrive twice. */
function forwardInterrupt(child) {
  const inTerminal = [0, 1, 2].some((fd) => isatty(fd));
  process.on("SIGINT", () => {
    if (!inTerminal) child.kill("SIGINT");
  });
}

function say(text) {
  process.stderr.write(`sluice: ${text}\n`);
}

function fail(text, code = 1) {
  say(text);
  process.exit(code);
}
