import { watchSection, type Incoming, readCalls } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  subjects,
  type AdmissionAnswer,
  type GiveBack,
  type LimitVerdict,
  type Quota,
} from "@sluice/contracts";
import { servingFor, type Context } from "@sluice/runtime";
import { Counter, createIgnoredLog } from "@sluice/telemetry";
import { z } from "zod";
import type { Config } from "./config.ts";
import { compileLimits, slotKeyPrefix, windowKeyPrefix, type Limits, type NamedTake } from "./limits.ts";
import { isSlot, leasing, type Taken, type Windows } from "./windows.ts";

/** What the handler needs of the world. */
export interface Deps {
  /** The limits of this moment. */
  readonly limits: () => Limits;
  readonly windows: Windows;
  /** This replica. */
  readonly instance: string;
  /** A name for the slots of one call, unique over all replicas. */
  readonly nextSlot: () => string;
  readonly reply: (subject: string, payload: Uint8Array) => void;
  readonly ignored: (reason: string) => void;
  readonly counted: (allowed: number, limited: number) => void;
  readonly refused: (tenant: string, rule: string) => void;
}

/** Where no limit applies, none needs to be asked about until the limits change. */
const unlimited: LimitVerdict = { ok: true, lease: { ms: leasing.maxMs } };

/** Decides about each call of a batch, in order; asks the windows once, and not at all where no limit applies. */
export async function handleAdmission(deps: Deps, message: Incoming): Promise<void> {
  const calls = readCalls(message);
  if (calls === undefined || message.reply === undefined)
    return deps.ignored("not an admission request that waits for an answer");
  const limits = deps.limits();
  const takes = calls.map((call) => limits.takesOf(call, deps.nextSlot));
  const limited = takes.filter((list) => list.length > 0);
  const taken = limited.length === 0 ? [] : await deps.windows.take(limited);
  let at = 0;
  let refused = 0;
  const verdicts = takes.map((list, index) => {
    if (list.length === 0) return unlimited;
    const verdict = verdictOf(list, taken[at++], deps.instance);
    if (verdict.ok) return verdict;
    refused++;
    deps.refused(calls[index]?.tenant ?? "", verdict.rule);
    return verdict;
  });
  deps.counted(verdicts.length - refused, refused);
  const answer: AdmissionAnswer = { by: "rate-limit", version: limits.version, verdicts };
  deps.reply(message.reply, encodeJson(answer));
}

function verdictOf(takes: readonly NamedTake[], taken: Taken | undefined, instance: string): LimitVerdict {
  if (taken?.ok !== true) return refusalOf(takes, taken);
  const { counted, lease, left, isLocal } = taken;
  const quotas = takes.flatMap((take, index) => quotaOf(take, left[index] ?? 0));
  return {
    ok: true,
    counted: isLocal === true ? { ...counted, by: instance } : counted,
    ...(lease !== undefined && { lease }),
    quotas,
  };
}

/** Of a refused call only the limit is told that has to be waited for longest. */
function refusalOf(takes: readonly NamedTake[], taken: Exclude<Taken, { ok: true }> | undefined): LimitVerdict {
  const take = taken === undefined ? undefined : takes[taken.refusedBy];
  if (taken === undefined || take === undefined) throw new Error("the windows answered too little");
  const { retryAfterSeconds } = taken;
  const quotas = quotaOf(take, 0).map((quota) => (isSlot(take) ? quota : { ...quota, seconds: retryAfterSeconds }));
  return { ok: false, rule: take.rule, retryAfterSeconds, ...(isSlot(take) && { isBusy: true }), quotas };
}

function quotaOf(take: NamedTake, left: number): Quota[] {
  if (take.policy === undefined) return [];
  return [{ policy: take.policy, left, ...(!isSlot(take) && { seconds: take.windowMs / 1000 }) }];
}

const slotSchema = z.object({
  id: z.string().max(64),
  keys: z.array(z.string().startsWith(slotKeyPrefix)),
});
const giveBackSchema = z.object({
  leases: z
    .array(
      z.object({
        calls: z.int().positive(),
        windows: z.array(
          z.object({ key: z.string().startsWith(windowKeyPrefix), part: z.int(), ifNew: z.boolean().optional() }),
        ),
      }),
    )
    .default([]),
  ended: z.array(slotSchema).default([]),
  held: z.array(slotSchema).default([]),
});

/** Takes back what ingress did not use, and learns which calls are in flight; what is not understood stays counted. */
export async function handleGiveBack(deps: Deps, message: Incoming): Promise<void> {
  const { data } = giveBackSchema.safeParse(decodeJson<GiveBack>(message.data));
  if (data === undefined) return deps.ignored("not what is given back");
  const { windows } = deps;
  if (data.ended.length > 0) await windows.end(data.ended);
  if (data.held.length > 0) await windows.hold(data.held);
  for (const lease of data.leases) await windows.give(lease.calls, lease.windows.map(asCounted));
}

function asCounted({ key, part, ifNew }: { key: string; part: number; ifNew?: boolean | undefined }) {
  return { key, part, ...(ifNew !== undefined && { ifNew }) };
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
  const refusals = new Counter({
    name: "sluice_rate_limit_refusals_total",
    help: "Calls refused, by the limit that refused them longest",
    labelNames: ["tenant", "limit"],
    registers: [metrics],
  });
  let limits = compileLimits(new Map());
  let slots = 0;
  scope.use(
    await watchSection(bus, "rate-limit", (sections) => {
      limits = compileLimits(sections);
      log.info({ version: limits.version, tenants: limits.tenants }, "limits taken over");
    }),
  );
  const deps: Deps = {
    limits: () => limits,
    windows,
    instance: bus.instance,
    nextSlot: () => `${bus.instance}.${(slots++).toString(36)}`,
    reply: (subject, payload) => bus.tell(subject, payload),
    ignored: createIgnoredLog(log),
    counted: (allowed, limited) => {
      if (allowed > 0) decisions.inc({ verdict: "allow" }, allowed);
      if (limited > 0) decisions.inc({ verdict: "deny" }, limited);
    },
    refused: (tenant, limit) => refusals.inc({ tenant, limit }),
  };
  report(() => ({ limits_version: limits.version, tenants: limits.tenants }));
  const serve = servingFor(context, deps.ignored);
  serve(subjects.ask("rate-limit", "give"), (message) => handleGiveBack(deps, message));
  serve(subjects.ownRateLimit(bus.instance), (message) => handleGiveBack(deps, message));
  serve(subjects.admitLimit, (message) => handleAdmission(deps, message));
}
