import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeHeadAndBody,
  Fault,
  mostArgumentBytes,
  subjects,
  type ArgumentsAnswer,
  type ArgumentsQuestion,
  type Intent,
} from "@sluice/contracts";
import { compile, explain, raw, scan, scanAsync } from "@sluice/json";
import type { Admitted } from "./admission.ts";

/** Larger bodies are read in slices, so that one of them does not hold up the others. */
const largeBytes = 256 * 1024;
const plan = compile([["params", "arguments"]], []);
const none = Buffer.from("{}");
/** What a replica of policy with older rules is given to take over the current ones, doubled each time it is asked again. */
const firstGraceMs = 50;
const mostTries = 5;
/** What a call waits for rules that decide nothing. */
const shadowTimeoutMs = 250;
const argumentsSubject = subjects.ask("policy", "arguments");

export interface ArgumentRulesOptions {
  readonly bus: Bus;
  readonly timeoutMs: number;
}

/**
 * Asks policy about calls whose verdict depends on their arguments, after the admission and apart from it: the admission is
 * stored, and arguments must not be (ADR 0005).
 */
export class ArgumentRules {
  readonly #options: ArgumentRulesOptions;

  constructor(options: ArgumentRulesOptions) {
    this.#options = options;
  }

  /**
   * The same call with policy's last word on it.
   * @throws Fault `payload_too_large` where the arguments are more than rules look at, `unavailable` without an answer
   */
  async decide(intent: Intent, admitted: Admitted, body: Buffer): Promise<Admitted> {
    if (admitted.policy.isOpenInShadowOnly === true) return await this.#observe(intent, admitted, body);
    const args = await argumentsOf(body);
    if (args.length > mostArgumentBytes) {
      throw new Fault(
        "payload_too_large",
        `access rules look at the arguments of this call, which may have at most ${mostArgumentBytes} bytes`,
        { details: { maxArgumentBytes: mostArgumentBytes } },
      );
    }
    const { version, verdict } = await this.#ask(questionOf(intent, args), admitted);
    return { ...admitted, policy: verdict, policyVersion: version };
  }

  /** Adds what rules in shadow mode would have decided, where that can be known soon; the call is decided without it. */
  async #observe(intent: Intent, admitted: Admitted, body: Buffer): Promise<Admitted> {
    const { needsArguments: _, isOpenInShadowOnly: __, ...policy } = admitted.policy;
    const settled = { ...admitted, policy };
    try {
      const args = await argumentsOf(body);
      if (args.length > mostArgumentBytes) return settled;
      const { bus, timeoutMs } = this.#options;
      const { data } = await bus.ask(argumentsSubject, questionOf(intent, args), {
        timeoutMs: Math.min(timeoutMs, shadowTimeoutMs),
      });
      const { version, verdict } = decodeJson<ArgumentsAnswer>(data);
      if (version < admitted.policyVersion || verdict.shadow === undefined) return settled;
      return { ...settled, policy: { ...policy, shadow: verdict.shadow } };
    } catch {
      return settled;
    }
  }

  /** An answer by older rules than those of the admission does not count. */
  async #ask(question: Uint8Array, { policyVersion }: Admitted): Promise<ArgumentsAnswer> {
    const { bus, timeoutMs } = this.#options;
    for (let tries = 0; tries < mostTries; tries++) {
      const { data } = await bus.ask(argumentsSubject, question, { timeoutMs });
      const answer = decodeJson<ArgumentsAnswer>(data);
      if (answer.version >= policyVersion) return answer;
      await delay(firstGraceMs * 2 ** tries);
    }
    throw new Fault("unavailable", "a service that this request needs has an old configuration");
  }
}

function questionOf(call: Intent, args: Buffer): Uint8Array {
  return encodeHeadAndBody({ call } satisfies ArgumentsQuestion, args);
}

async function argumentsOf(body: Buffer): Promise<Buffer> {
  const seen = body.length > largeBytes ? await scanAsync(body, plan) : scan(body, plan);
  if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
  const [found] = seen.values;
  return found === undefined ? none : raw(body, found);
}
