import type { Webhook } from "@sluice/contracts";
import { AddressRefused, guardedAgent, type GuardedConnectorOptions } from "@sluice/net";
import { request, type Agent, type Dispatcher } from "undici";
import type { Notification } from "./push-payload.ts";

/** What became of one try. `refused`: it is of no use to try for long. */
export interface Try {
  readonly is: "delivered" | "failed" | "refused";
  /** `http_503`, or why there is no status; never an address or a part of the answer. */
  readonly why: string;
  readonly status?: number;
  /** As the webhook asked. */
  readonly retryAfterMs?: number;
}

export interface WebhooksOptions extends Pick<GuardedConnectorOptions, "guard" | "resolve"> {
  /** Until the whole answer is there. */
  readonly timeoutMs: number;
  readonly connectionsPerHost: number;
}

/** Answers are looked at for their status alone. */
const mostAnswerBytes = 64 * 1024;
const keepAliveMs = 10_000;
/** Refusals that pass by themselves (RFC 9110 §15.5.9, RFC 8470, RFC 6585). */
const passing = new Set([408, 425, 429]);

/** Posts to clients' webhooks over connections of its own: every address is judged when it connects, no redirect is followed. */
export class Webhooks implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #timeoutMs: number;

  constructor({ timeoutMs, connectionsPerHost, ...guarding }: WebhooksOptions) {
    this.#timeoutMs = timeoutMs;
    const limits = {
      connections: connectionsPerHost,
      keepAliveTimeout: keepAliveMs,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    };
    this.#agent = guardedAgent({ ...guarding, timeoutMs }, limits);
  }

  async post({ url, ...secrets }: Webhook, { body, contentType }: Notification): Promise<Try> {
    try {
      const answer = await request(url, {
        method: "POST",
        dispatcher: this.#agent,
        headers: { "content-type": contentType, "user-agent": "sluice", ...secretFields(secrets) },
        body,
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      await answer.body.dump({ limit: mostAnswerBytes }).catch(() => {});
      return judged(answer);
    } catch (error) {
      return failed(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent.destroy();
  }
}

function secretFields({ token, authentication }: Omit<Webhook, "url">): Record<string, string> {
  const { scheme, credentials } = authentication ?? {};
  return {
    ...(token !== undefined && { "x-a2a-notification-token": token }),
    ...(scheme !== undefined && credentials !== undefined && { authorization: `${scheme} ${credentials}` }),
  };
}

function judged({ statusCode: status, headers }: Pick<Dispatcher.ResponseData, "statusCode" | "headers">): Try {
  const why = `http_${status}`;
  if (status >= 200 && status < 300) return { is: "delivered", why, status };
  if (status >= 300 && status < 400) return { is: "refused", why: "redirect", status };
  if (status < 500 && !passing.has(status)) return { is: "refused", why, status };
  const seconds = Number(headers["retry-after"]);
  return { is: "failed", why, status, ...(seconds > 0 && { retryAfterMs: seconds * 1_000 }) };
}

function failed(error: unknown): Try {
  const reasons = [error, (error as Error).cause];
  if (reasons.some((reason) => reason instanceof AddressRefused)) return { is: "refused", why: "forbidden_address" };
  const { name, code } = error as Error & { code?: string };
  const isLate = name === "TimeoutError" || (code !== undefined && code.endsWith("_TIMEOUT"));
  return { is: "failed", why: isLate ? "timeout" : "unreachable" };
}
