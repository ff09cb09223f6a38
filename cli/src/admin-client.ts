import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Option, type Command } from "commander";

const answerTimeoutMs = 30_000;
const tokenVariable = "SLUICE_ADMIN_TOKEN";
/** What the admin API's messages point to, and what that is here. */
const commands: Readonly<Record<string, string>> = { "GET /v1/conf/history": "sluice conf history" };
const routes = /GET \/v1\/[\w/]+/g;

/** Where the admin API is: at `url`, else where a local instance keeps its data. */
export interface AdminFlags {
  readonly url?: string;
  readonly data: string;
}

/** Asks control's admin API. @throws Error with the reason that it gives */
export interface AdminClient {
  get<Answer>(path: string): Promise<Answer>;
  post<Answer>(path: string, body: unknown, timeoutMs?: number): Promise<Answer>;
}

/** Adds the flags that say where the admin API is. */
export function withAdminFlags(command: Command): Command {
  return command
    .option("--data <dir>", "data directory of a running sluice, used unless --url is given", ".sluice")
    .addOption(new Option("--url <url>", `admin API of another sluice, with an operator's token in ${tokenVariable}`));
}

/** @throws Error that says what to do where it is not known where the admin API is, or no token */
export async function connectAdmin(flags: AdminFlags, env = process.env): Promise<AdminClient> {
  const { url, token, isOwnToken } = await placeOf(flags, env);
  const ask = async <Answer>(path: string, init: RequestInit = {}): Promise<Answer> => {
    const headers = { authorization: `Bearer ${token}`, ...init.headers };
    const signal = init.signal ?? AbortSignal.timeout(answerTimeoutMs);
    const answer = await fetch(new URL(path, url), { ...init, headers, signal, redirect: "error" }).catch(
      (error: Error) => {
        throw new Error(
          `the admin API at ${url} does not answer: ${(error.cause as Error | undefined)?.message ?? error.message}`,
        );
      },
    );
    const body = (await answer.json().catch(() => ({}))) as { message?: string };
    if (answer.status === 401 && isOwnToken)
      throw new Error(`${tokenVariable} is not accepted by the admin API at ${url}`);
    if (!answer.ok)
      throw new Error(
        body.message?.replaceAll(routes, (route) => commands[route] ?? route) ??
          `the admin API at ${url} answers with the status ${answer.status}`,
      );
    return body as Answer;
  };
  return {
    get: (path) => ask(path),
    post: (path, body, timeoutMs = answerTimeoutMs) =>
      ask(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeoutMs),
      }),
  };
}

interface Place {
  readonly url: string;
  readonly token: string;
  /** Whether the token is the operator's own and not that of a local instance. */
  readonly isOwnToken: boolean;
}

async function placeOf({ url, data }: AdminFlags, env: NodeJS.ProcessEnv): Promise<Place> {
  const token = env[tokenVariable];
  if (url !== undefined) {
    if (token === undefined || token === "") throw new Error(`set ${tokenVariable} to an operator's token`);
    return { url, token, isOwnToken: true };
  }
  const run = await read<{ adminUrl: string }>(join(data, "run.json"));
  const state = await read<{ adminToken: string }>(join(data, "state.json"));
  if (run === undefined || state === undefined)
    throw new Error(
      `no Sluice runs with the data directory ${data}: name its own with --data, or the admin API with --url and ${tokenVariable}`,
    );
  return { url: run.adminUrl, token: token ?? state.adminToken, isOwnToken: token !== undefined };
}

async function read<Content>(file: string): Promise<Content | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Content);
}
