import { watchSection, type Incoming, readCalls } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  listedKinds,
  subjects,
  type AdmissionAnswer,
  type FilterAnswer,
  type FilterQuestion,
} from "@sluice/contracts";
import { servingFor, type Context } from "@sluice/runtime";
import { Counter, createIgnoredLog } from "@sluice/telemetry";
import type { Config } from "./config.ts";
import { compileRules, type Rulebook } from "./evaluator.ts";

/** What the handlers need of the world. */
export interface Deps {
  /** The rules of this moment. */
  readonly rulebook: () => Rulebook;
  readonly reply: (subject: string, payload: Uint8Array) => void;
  readonly ignored: (reason: string) => void;
  readonly counted: (allowed: number, denied: number) => void;
}

/** What the rules say of a call depends on nothing but the call, so an answer may be used again, but not after this service died. */
const leaseMs = 1_000;

/** Decides about each call of a batch, all by the same version of the rules. */
export function handleAdmission(deps: Deps, message: Incoming): void {
  const calls = readCalls(message);
  if (calls === undefined || message.reply === undefined)
    return deps.ignored("not an admission request that waits for an answer");
  const rulebook = deps.rulebook();
  let denied = 0;
  const verdicts = calls.map((call) => {
    const { tenant, agent, protocol, method, target, targetKind } = call;
    const verdict = rulebook.decide({ tenant, agent: agent.id, protocol, method, target, targetKind });
    if (!verdict.ok) denied++;
    return verdict.ok ? { ...verdict, leaseMs } : verdict;
  });
  deps.counted(verdicts.length - denied, denied);
  const answer: AdmissionAnswer = { by: "policy", version: rulebook.version, verdicts };
  deps.reply(message.reply, encodeJson(answer));
}

/** Says what of a list an agent may see: what it may use. */
export function handleFilter(deps: Deps, message: Incoming): void {
  const question = readQuestion(message);
  if (question === undefined || message.reply === undefined)
    return deps.ignored("not a filter question that waits for an answer");
  const rulebook = deps.rulebook();
  const { tenant, agent, protocol, kind, names } = question;
  const keep = names.map((target) => rulebook.shows({ tenant, agent, protocol, kind, target }));
  const answer: FilterAnswer = { keep };
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
    counted: (allowed, denied) => {
      if (allowed > 0) decisions.inc({ verdict: "allow" }, allowed);
      if (denied > 0) decisions.inc({ verdict: "deny" }, denied);
    },
  };
  report(() => ({ rules_version: rulebook.version, tenants: rulebook.tenants }));
  const serve = servingFor(context, deps.ignored);
  serve(subjects.ask("policy", "filter"), (message) => handleFilter(deps, message));
  serve(subjects.admitPolicy, (message) => handleAdmission(deps, message));
}

function readQuestion(message: Incoming): FilterQuestion | undefined {
  try {
    const question = decodeJson<FilterQuestion>(message.data);
    const { tenant, agent, kind, names } = question;
    const usable =
      typeof tenant === "string" &&
      typeof agent === "string" &&
      listedKinds.includes(kind) &&
      Array.isArray(names) &&
      names.every((name) => typeof name === "string");
    return usable ? question : undefined;
  } catch {
    return undefined;
  }
}
