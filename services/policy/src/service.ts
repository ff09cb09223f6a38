import { watchSection, type Incoming, readCalls } from "@sluice/bus";
import { compileRules, operationOf, type Rulebook } from "@sluice/access";
import {
  encodeJson,
  subjects,
  type AdmissionAnswer,
  type ArgumentsAnswer,
  type FilterAnswer,
  type PolicyVerdict,
} from "@sluice/contracts";
import { servingFor, type Context } from "@sluice/runtime";
import { Counter, createIgnoredLog } from "@sluice/telemetry";
import type { Config } from "./config.ts";
import { readArgumentsQuestion, readFilterQuestion } from "./read-questions.ts";
import { ShadowReport } from "./shadow-report.ts";

/** What the handlers need of the world. */
export interface Deps {
  /** The rules of this moment. */
  readonly rulebook: () => Rulebook;
  readonly reply: (subject: string, payload: Uint8Array) => void;
  readonly ignored: (reason: string) => void;
  /** Called for each verdict that is final. */
  readonly counted: (tenant: string, verdict: PolicyVerdict) => void;
}

/**
 * Where no condition was asked, what the rules say depends on nothing but agent, method and target, so an answer may be used
 * again, but not after this service died.
 */
const leaseMs = 1_000;

/** Decides about each call of a batch, all by the same version of the rules. */
export function handleAdmission(deps: Deps, message: Incoming): void {
  const calls = readCalls(message);
  if (calls === undefined || message.reply === undefined)
    return deps.ignored("not an admission request that waits for an answer");
  const rulebook = deps.rulebook();
  const verdicts = calls.map((call) => {
    const verdict = rulebook.decide(operationOf(call));
    if (verdict.needsArguments === true) return verdict;
    deps.counted(call.tenant, verdict);
    const isLeased = verdict.ok && verdict.isConditional !== true && verdict.shadow === undefined;
    return isLeased ? { ...verdict, leaseMs } : verdict;
  });
  const answer: AdmissionAnswer = { by: "policy", version: rulebook.version, verdicts };
  deps.reply(message.reply, encodeJson(answer));
}

/** Decides about one call whose verdict depends on its arguments, with these. */
export function handleArguments(deps: Deps, message: Incoming): void {
  const question = readArgumentsQuestion(message);
  if (question === undefined || message.reply === undefined)
    return deps.ignored("not a question about arguments that waits for an answer");
  const rulebook = deps.rulebook();
  const { call, args } = question;
  const verdict = rulebook.decide({ ...call, args });
  deps.counted(call.tenant, verdict);
  const answer: ArgumentsAnswer = { version: rulebook.version, verdict };
  deps.reply(message.reply, encodeJson(answer));
}

/** Says what of a list a caller may see: what it may use. */
export function handleFilter(deps: Deps, message: Incoming): void {
  const question = readFilterQuestion(message);
  if (question === undefined || message.reply === undefined)
    return deps.ignored("not a filter question that waits for an answer");
  const rulebook = deps.rulebook();
  const { names, ...asked } = question;
  const keep = names.map((target) => rulebook.shows({ ...asked, target }));
  const answer: FilterAnswer = { version: rulebook.version, keep };
  deps.reply(message.reply, encodeJson(answer));
}

/** Serves from the first complete reading of the rules on: there is no answer by default. */
export async function startPolicy(context: Context<Config>): Promise<void> {
  const { bus, log, metrics, scope, report } = context;
  const decisions = new Counter({
    name: "sluice_policy_decisions_total",
    help: "Calls decided upon, by verdict",
    labelNames: ["verdict"],
    registers: [metrics],
  });
  const shadows = new ShadowReport({ log, metrics });
  let rulebook = compileRules(new Map());
  scope.use(
    await watchSection(bus, "policy", (sections) => {
      rulebook = compileRules(sections);
      log.info({ version: rulebook.version, tenants: rulebook.tenants }, "rules taken over");
    }),
  );
  const deps: Deps = {
    rulebook: () => rulebook,
    reply: (subject, payload) => bus.tell(subject, payload),
    ignored: createIgnoredLog(log),
    counted: (tenant, { ok, rule, shadow }) => {
      decisions.inc(ok ? allowed : denied);
      if (shadow !== undefined) shadows.add(tenant, { rule, shadow });
    },
  };
  report(() => ({ rules_version: rulebook.version, tenants: rulebook.tenants }));
  const serve = servingFor(context, deps.ignored);
  serve(subjects.ask("policy", "filter"), (message) => handleFilter(deps, message));
  serve(subjects.ask("policy", "arguments"), (message) => handleArguments(deps, message));
  serve(subjects.admitPolicy, (message) => handleAdmission(deps, message));
}

const allowed = { verdict: "allow" };
const denied = { verdict: "deny" };
