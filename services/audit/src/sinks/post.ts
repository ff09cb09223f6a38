import { rootCertificates } from "node:tls";
import { Agent, request, type Dispatcher } from "undici";
import { Away, reasonOf, Refusal } from "./sink.ts";

export interface Post {
  readonly url: URL;
  readonly method: "POST" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  readonly timeoutMs: number;
  /** Statuses that speak of what was sent, so that it will never be taken. */
  readonly refusals: ReadonlySet<number>;
  readonly ca: string | undefined;
}

/** What is wrong with the request itself rather than with who sends it, or where to, or when. */
export const refusesContent: ReadonlySet<number> = new Set([400, 406, 413, 415, 422]);
export const refusesNothing: ReadonlySet<number> = new Set();

const mostAnswerBytes = 64 * 1024;
const longestWaitMs = 3_600_000;
const agents = new Map<string | undefined, Agent>();

/** Connections are kept for some seconds and shared by all destinations. */
function agentOf(ca: string | undefined): Agent {
  const known = agents.get(ca);
  if (known !== undefined) return known;
  const agent = new Agent({
    keepAliveTimeout: 4_000,
    connections: 16,
    maxHeaderSize: 32 * 1024,
    connect: { timeout: 10_000, ...(ca !== undefined && { ca: [...rootCertificates, ca] }) },
  });
  agents.set(ca, agent);
  return agent;
}

/**
 * Sends one request and follows no redirect. Certificates are verified; of the answer no more than 64 KiB is read.
 * @returns its status, where that is 2xx
 * @throws Refusal, Away
 */
export async function post({ url, timeoutMs, refusals, ca, ...sent }: Post, signal: AbortSignal): Promise<number> {
  const answer = await request(url, {
    ...sent,
    headers: { "user-agent": "sluice", ...sent.headers },
    dispatcher: agentOf(ca),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  }).catch((error: unknown) => {
    throw new Away(reasonOf(error));
  });
  await answer.body.dump({ limit: mostAnswerBytes }).catch(() => {});
  return judged(answer, refusals);
}

function judged(
  { statusCode: status, headers }: Pick<Dispatcher.ResponseData, "statusCode" | "headers">,
  refusals: ReadonlySet<number>,
): number {
  if (status >= 200 && status < 300) return status;
  if (refusals.has(status)) throw new Refusal(`HTTP ${status}`);
  if (status >= 300 && status < 400) throw new Away(`HTTP ${status}: redirects are not followed`);
  throw new Away(`HTTP ${status}`, retryAfterMsOf(headers["retry-after"]));
}

/** Seconds or a date (RFC 9110 §10.2.3); at most an hour. */
function retryAfterMsOf(value: string | string[] | undefined, now = Date.now()): number | undefined {
  if (typeof value !== "string") return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), longestWaitMs);
}
