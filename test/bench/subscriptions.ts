import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { a2aHeldPath, a2aRequest, a2aVersion } from "./a2a-messages.ts";
import type { Target } from "./load.ts";
import { usageOf, type NamedProcess } from "./proc.ts";
import type { Subject } from "./processes.ts";
import { workloads } from "./workloads.ts";

/** What a subscription that is open and silent takes. */
export interface SubscriptionsRow {
  readonly workload: "a2a-subscriptions";
  readonly target: Subject["name"];
  readonly concurrency: number;
  /** From the first request to the first event of the last one. */
  readonly openMs: number;
  readonly kbPerSubscription: number;
  readonly kbByProcess: Readonly<Record<string, number>>;
}

const count = 1_000;
/** So many are opened at a time. */
const atOnce = 50;
const deadlineMs = 60_000;
const settleMs = 2_000;

/** Opens a thousand streams of a task each, at an agent that says nothing more, and weighs every process before and after. */
export async function measureSubscriptions({ name, targetOf, processes }: Subject): Promise<SubscriptionsRow> {
  const target = targetOf(workloads["a2a-send"]);
  if (target === undefined) throw new Error(`${name} takes no A2A`);
  const sockets: Socket[] = [];
  try {
    sockets.push(...(await open(target, atOnce, 0)));
    await wait(settleMs);
    const before = memoryOf(processes);
    const startedMs = performance.now();
    for (let opened = 0; opened < count; opened += atOnce)
      sockets.push(...(await open(target, atOnce, atOnce + opened)));
    const openMs = performance.now() - startedMs;
    await wait(settleMs);
    const after = memoryOf(processes);
    const kb = [...after].map(([process, rssKb]) => [process, (rssKb - (before.get(process) ?? 0)) / count] as const);
    const kbPerSubscription = kb.reduce((sum, [, each]) => sum + each, 0);
    const counted = { openMs, kbPerSubscription, kbByProcess: Object.fromEntries(kb) };
    return { workload: "a2a-subscriptions", target: name, concurrency: count, ...counted };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const memoryOf = (processes: readonly NamedProcess[]): ReadonlyMap<string, number> =>
  new Map([...usageOf(processes)].map(([name, { rssKb }]) => [name, rssKb]));

function open(target: Target, number: number, from: number): Promise<Socket[]> {
  return Promise.all(Array.from({ length: number }, (_, at) => subscribe(target, from + at)));
}

/** Settles with the first event. */
async function subscribe({ port, key }: Target, number: number): Promise<Socket> {
  const id = String(200_000_000 + (Date.now() % 100_000) * 1_000 + number);
  const body = a2aRequest("SendStreamingMessage", 32).replace("100000000", id);
  const lines = [
    `POST ${a2aHeldPath} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    "content-type: application/json",
    "accept: text/event-stream",
    `a2a-version: ${a2aVersion}`,
    `x-agent-api-key: ${key}`,
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    if (text.includes("data: {")) resolve();
    else if (/^HTTP\/1\.1 (?!200)/.test(text)) reject(new Error(`a subscription was refused: ${text.slice(0, 400)}`));
  });
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("a subscription was closed")));
  const timer = setTimeout(() => reject(new Error(`no event within ${deadlineMs} ms`)), deadlineMs);
  socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  try {
    await promise;
    return socket;
  } finally {
    clearTimeout(timer);
  }
}

/** A line per target: KiB of each process for one subscription. */
export function subscriptionsText(rows: readonly SubscriptionsRow[]): string {
  return rows
    .map(({ target, concurrency, openMs, kbPerSubscription, kbByProcess }) => {
      const each = Object.entries(kbByProcess).map(([name, kb]) => `${name} ${kb.toFixed(1)}`);
      const opened = `opened in ${(openMs / 1_000).toFixed(1)} s`;
      return `a2a-subscriptions ${concurrency} ${target}: ${kbPerSubscription.toFixed(1)} KiB each (${each.join(", ")}), ${opened}`;
    })
    .join("\n");
}
