import { setTimeout as sleep } from "node:timers/promises";
import type { House } from "@sluice/launcher";
import { visible } from "../visible.ts";

const lookEveryMs = 1_000;
const answerTimeoutMs = 2_000;

interface Status {
  readonly configuration: {
    readonly error?: string;
    readonly publishing?: string;
  };
  readonly problems: readonly { readonly service: string; readonly problem: string }[];
}

/** Says what is to be mended: now, and as long as it runs whenever something new comes up. */
export async function tellOfProblems(house: House, say: (line: string) => void): Promise<Disposable> {
  const over = new AbortController();
  let told = new Set<string>();
  const look = async () => {
    const lines = await linesNow(house).catch(() => undefined);
    if (lines === undefined || over.signal.aborted) return;
    for (const line of lines) if (!told.has(line)) say(line);
    told = new Set(lines);
  };
  await look();
  void follow(look, over.signal).catch(() => {});
  return { [Symbol.dispose]: () => over.abort() };
}

async function follow(look: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(lookEveryMs, undefined, { signal, ref: false });
    await look();
  }
}

/** Asks control's health: what is asked of the admin API is on record as an operator's act. */
async function linesNow(house: House): Promise<string[]> {
  const [control] = house.of("control");
  if (control === undefined) throw new Error("no control");
  const answer = await fetch(`${control.health}/health`, { signal: AbortSignal.timeout(answerTimeoutMs) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { configuration, problems } = (await answer.json()) as Status;
  const { error, publishing } = configuration;
  return [
    ...(error === undefined
      ? []
      : ["warning: tenants.yaml is refused, the last good version stays in force", ...error.split("\n")]),
    ...(publishing === undefined ? [] : [`warning: tenants.yaml is not in force yet: ${publishing}`]),
    ...problems.map(({ service, problem }) => `warning: ${service}: ${problem}`),
  ].map(visible);
}
