import { watchSection, type Incoming, readCalls } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  subjects,
  type AdmissionAnswer,
  type GiveBack,
  type LimitVerdict,
} from "@sluice/contracts";
import { servingFor, type Context } from "@sluice/runtime";
import { Counter, createIgnoredLog } from "@sluice/telemetry";
import { z } from "zod";
import type { Config } from "./config.ts";
import { compileLimits, windowKeyPrefix, type Limits, type NamedTake } from "./limits.ts";
import { leasing, type Taken, type Windows } from "./windows.ts";

/** What the handler needs of the world. */
export interface Deps {
  /** The limits of this moment. */
  readonly limits: () => Limits;
  readonly windows: Windows;
  readonly reply: (subject: string, payload: Uint8Array) => void;
  readonly ignored: (reason: string) => void;
  readonly counted: (allowed: number, limited: number) => void;
}

/** Where no limit applies, none needs to be asked about until the limits change. */
const unlimited: LimitVerdict = { ok: true, lease: { ms: leasing.maxMs } };

/** Decides about each call of a batch, in order; asks the windows once, and not at all where no limit applies. */
export async function handleAdmission(deps: Deps, message: Incoming): Promise<void> {
  const calls = readCalls(message);
  if (calls === undefined || message.reply === undefined)
    return deps.ignored("not an admission request that waits for an answer");
  const limits = deps.limits();
  const takes = calls.map((call) => limits.takesOf(call));
  const limited = takes.filter((list) => list.length > 0);
  const taken = limited.length === 0 ? [] : await deps.windows.take(limited);
  let at = 0;
  let refused = 0;
  const verdicts = takes.map((list) => {
    if (list.length === 0) return unlimited;
    const verdict = verdictOf(list, taken[at++]);
    if (!verdict.ok) refused++;
    return verdict;
  });
  deps.counted(verdicts.length - refused, refused);
  const answer: AdmissionAnswer = { by: "rate-limit", version: limits.version, verdicts };
  deps.reply(message.reply, encodeJson(answer));
}

function verdictOf(takes: readonly NamedTake[], taken: Taken | undefined): LimitVerdict {
  if (taken?.ok === true) return taken;
  const rule = taken === undefined ? undefined : takes[taken.refusedBy]?.rule;
  if (taken === undefined || rule === undefined) throw new Error("the windows answered too little");
  return { ok: false, rule, retryAfterSeconds: taken.retryAfterSeconds };
}

const giveBackSchema = z.object({
  leases: z.array(
    z.object({
      calls: z.int().positive(),
      windows: z.array(z.object({ key: z.string().startsWith(windowKeyPrefix), part: z.int() })),
    }),
  ),
});

/** Takes back what ingress leased and did not use; what is not understood stays counted. */
export async function handleGiveBack(deps: Deps, message: Incoming): Promise<void> {
  const { data } = giveBackSchema.safeParse(decodeJson<GiveBack>(message.data));
  if (data === undefined) return deps.ignored("not leases that are given back");
  for (const { calls, windows } of data.leases) await deps.windows.give(calls, windows);
}

/** Serves from the first complete reading of the limits on. */
export async function startRateLimit(context: Context<Config>, windows: Windows): Promise<void> {
  const { bus, log, metrics, scope, report } = context;
  const decisions = new Counter({
    name: "sluice_rate_limit_decisions_total",
    help: "Calls decided upon, by verdict",
    labelNames: ["verdict"],
    registers: [metrics],
  });
  let limits = compileLimits(new Map());
  scope.use(
    await watchSection(bus, "rate-limit", (sections) => {
      limits = compileLimits(sections);
      log.info({ version: limits.version, tenants: limits.tenants }, "limits taken over");
    }),
  );
  const deps: Deps = {
    limits: () => limits,
    windows,
    reply: (subject, payload) => bus.tell(subject, payload),
    ignored: createIgnoredLog(log),
    counted: (allowed, limited) => {
      if (allowed > 0) decisions.inc({ verdict: "allow" }, allowed);
      if (limited > 0) decisions.inc({ verdict: "deny" }, limited);
    },
  };
  report(() => ({ limits_version: limits.version, tenants: limits.tenants }));
  const serve = servingFor(context, deps.ignored);
  serve(subjects.ask("rate-limit", "give"), (message) => handleGiveBack(deps, message));
  serve(subjects.admitLimit, (message) => handleAdmission(deps, message));
}
