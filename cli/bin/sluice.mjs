#!/usr/bin/env node
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";
import { whenNpmIsGone } from "./npm-parent.mjs";

const NODE_MAJOR = 24;
const main = new URL("../dist/main.js", import.meta.url);

if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR) runWithOwnNode();
else if (!existsSync(main)) fail("not built yet: run `npm run build` in the repository");
else await runHere();

async function runHere() {
  delete process.env.SLUICE_REEXECUTED;
  whenNpmIsGone(() => process.kill(process.pid, "SIGTERM"));
  await import(main.href);
}

/** The same command under the Node that npm installed; signals go to it, and its end is this one's. */
function runWithOwnNode() {
  const node = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url));
  if (process.env.SLUICE_REEXECUTED || !existsSync(node)) {
    fail(
      `Node ${NODE_MAJOR} or newer is needed, this is ${process.version}: run \`npm start\` once in the repository, or install Node ${NODE_MAJOR}`,
    );
  }
  const env = { ...process.env, SLUICE_REEXECUTED: "1" };
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit", env });
  whenNpmIsGone(() => child.kill("SIGTERM"));
  const inTerminal = [0, 1, 2].some((fd) => isatty(fd));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  process.on("SIGINT", () => inTerminal || child.kill("SIGINT"));
  child.once("error", (error) => fail(`${node} can't be started: ${error.message}`));
  child.once("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

function fail(text) {
  process.stderr.write(`sluice: ${text}\n`);
  process.exit(1);
}
