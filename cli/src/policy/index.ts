import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { explainCall } from "@sluice/launcher";
import { linesOf, type Explained } from "./lines.ts";
import { addReplayCommand } from "./replay.ts";

interface Flags {
  readonly conf: string;
  readonly tenant?: string;
  readonly agent: string;
  readonly agentName?: string;
  readonly owner?: string;
  readonly scopes?: string;
  readonly issuer?: string;
  readonly user?: string;
  readonly tool?: string;
  readonly prompt?: string;
  readonly resource?: string;
  readonly a2a?: string;
  readonly method?: string;
  readonly skill?: string;
  readonly server?: string;
  readonly args?: string;
  readonly json?: true;
}

const exitHelp = `
Exit code 0: it was explained, whatever the decision is. 1: it could not be, and stderr says why.`;

/** Adds `sluice policy …`. */
export function addPolicyCommands(program: Command): void {
  const policy = program.command("policy").description("say what access rules decide, and would decide");
  addExplainCommand(policy);
  addReplayCommand(policy);
}

function addExplainCommand(policy: Command): void {
  policy
    .command("explain")
    .description(
      "say which access rule decides a call, where it is written, and what the other rules say; nothing need run",
    )
    .option("--conf <dir>", "directory of tenants.yaml, or the file", "conf")
    .option("--tenant <name>", "unless there is only one")
    .requiredOption("--agent <id>", "who calls; name and owner as configured unless given")
    .option("--agent-name <name>", "the agent's name")
    .option("--owner <owner>", "the agent's owner")
    .option("--scopes <list>", "the token's scopes, separated by spaces or commas")
    .option("--issuer <issuer>", "the token's issuer")
    .option("--user <id>", "on whose behalf the agent acts")
    .option("--tool <name>", "the tool, as its server calls it")
    .option("--prompt <name>", "or the prompt")
    .option("--resource <uri>", "or the resource")
    .option("--a2a <name>", "or the agent that is called, by the name of its A2A endpoint")
    .option("--method <operation>", "what --a2a is asked for, as any revision calls it (default: SendMessage)")
    .option("--skill <id>", "or the skill that a card shows")
    .option("--server <name>", "must be a server of the tenant")
    .option("--args <json>", "the arguments as a JSON object, or @file")
    .option("--json", "one JSON object")
    .addHelpText("after", exitHelp)
    .action(run);
}

async function run({ conf, json, args, scopes, ...call }: Flags): Promise<void> {
  const question = JSON.stringify({
    ...call,
    ...(scopes !== undefined && { scopes: scopes.split(/[\s,]+/).filter((scope) => scope !== "") }),
    ...(args !== undefined && { args: await readArguments(args) }),
  });
  const answer = await explainCall(conf, question);
  if (json === true) return void process.stdout.write(answer);
  for (const line of linesOf(JSON.parse(answer) as Explained)) process.stdout.write(`${line}\n`);
}

async function readArguments(given: string): Promise<unknown> {
  const text = given.startsWith("@") ? await readFile(given.slice(1), "utf8") : given;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(`--args is no JSON: ${(error as Error).message}`, { cause: error });
  }
}
