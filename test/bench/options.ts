import { parseArgs } from "node:util";
import type { AuditRowName } from "./audit-rows.ts";
import type { Cell } from "./measure.ts";
import { isAboutRules, isFederated, workloadNames, workloads, type WorkloadName } from "./workloads.ts";

export interface BenchOptions {
  readonly workloads: readonly WorkloadName[];
  /** What a thousand open subscriptions take. */
  readonly subscriptions: boolean;
  /** Of the audit trail by itself, with so many events. */
  readonly audit: readonly AuditRowName[];
  readonly auditEvents: number;
  /** How far audit is behind under load. */
  readonly auditLag: boolean;
  /** In this order. */
  readonly cells: readonly Cell[];
  readonly turns: number;
  readonly measureMs: number;
  readonly warmUpMs: number;
  readonly only?: "baseline" | "sluice";
  readonly jsonFile?: string;
  readonly profileDir?: string;
  readonly soakMinutes?: number;
}

/** Measured once, in memory, beside the workloads that are measured in time. */
const subscriptionsName = "a2a-subscriptions";
const auditNames: readonly AuditRowName[] = ["audit-store", "audit-tree", "audit-verify"];
const auditLagName = "audit-lag";
const apartNames: readonly string[] = [subscriptionsName, ...auditNames, auditLagName];

export const usage = `npm run bench -- [options]

  --quick              about two minutes: two short turns, concurrency 1, 16 and 64
  --workload NAME      only this one (may be repeated, or a list with commas):
                       ${workloadNames.slice(0, 4).join(", ")},
                       ${workloadNames.slice(4, 7).join(", ")},
                       ${workloadNames.slice(7).join(", ")}, ${subscriptionsName},
                       ${auditNames.join(", ")}, ${auditLagName}
  --concurrency N      only this one instead of 1, 16, 64, 250, federated lists 1, 16, 64, rules 64 (may be
                       repeated, or a list with commas)
  --seconds N          length of each measured run (default 3, quick 0.9)
  --turns N            runs of each cell; the median counts (default 3, quick 2)
  --only NAME          baseline or sluice alone, so without ratios
  --json FILE          writes the rows as a JSON array
  --audit-events N     for audit-store and audit-verify (default 1000000, quick 20000)
  --soak MINUTES       Sluice alone under unary-256 at 64 for that long, memory per service every 30 s
  --profile DIR        a CPU profile per process, written at the stop (it costs speed: don't quote the figures)
  --help`;

const definitions = {
  quick: { type: "boolean", default: false },
  workload: { type: "string", multiple: true },
  concurrency: { type: "string", multiple: true },
  seconds: { type: "string" },
  turns: { type: "string" },
  only: { type: "string" },
  json: { type: "string" },
  "audit-events": { type: "string" },
  soak: { type: "string" },
  profile: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

function positive(name: string, text: string, largest: number): number {
  const value = Number(text);
  if (value > 0 && value <= largest) return value;
  throw new Error(`--${name} takes a number above 0, at most ${largest}; it was "${text}"`);
}

function whole(name: string, text: string, largest: number): number {
  if (/^\d+$/.test(text)) return positive(name, text, largest);
  throw new Error(`--${name} takes a whole number; it was "${text}"`);
}

function workloadOf(text: string): WorkloadName {
  const found = workloadNames.find((name) => name === text);
  if (found) return found;
  throw new Error(`--workload takes ${workloadNames.join(", ")}; it was "${text}"`);
}

function onlyOf(text: string): "baseline" | "sluice" {
  if (text === "baseline" || text === "sluice") return text;
  throw new Error(`--only takes baseline or sluice; it was "${text}"`);
}

function split(values: readonly string[] | undefined): string[] | undefined {
  return values?.flatMap((value) => value.split(","));
}

function workloadsOf(named: readonly string[] | undefined, only: BenchOptions["only"]): readonly WorkloadName[] {
  const wanted = named?.map(workloadOf) ?? workloadNames;
  const isPossible = (name: WorkloadName) => !isFederated(workloads[name]) && !isAboutRules(workloads[name]);
  const possible = only === "baseline" ? wanted.filter(isPossible) : wanted;
  if (possible.length > 0) return possible;
  throw new Error(`--only baseline leaves nothing to do: a bare proxy has no ${wanted.join(", ")}`);
}

function wantedOf(
  named: readonly string[] | undefined,
  only: BenchOptions["only"],
  isSoak: boolean,
): Pick<BenchOptions, "workloads" | "subscriptions" | "audit" | "auditLag"> {
  const isWanted = (name: string) => !isSoak && named?.includes(name) !== false;
  const isOfSluice = only !== "baseline";
  const timed = named?.filter((name) => !apartNames.includes(name));
  const isApartAlone = !isSoak && named !== undefined && timed?.length === 0;
  return {
    workloads: isApartAlone ? [] : workloadsOf(timed, only),
    subscriptions: isWanted(subscriptionsName),
    audit: isOfSluice ? auditNames.filter(isWanted) : [],
    auditLag: isOfSluice && isWanted(auditLagName),
  };
}

/** A merged list is much work: without the cache, 250 at once would measure the queue alone. */
function usualConcurrencies(name: WorkloadName, quick: boolean): readonly number[] {
  if (isAboutRules(workloads[name])) return [64];
  return quick || isFederated(workloads[name]) ? [1, 16, 64] : [1, 16, 64, 250];
}

/** Undefined where help is asked for; throws with what to write instead. */
export function readOptions(args: string[]): BenchOptions | undefined {
  const { values } = parseArgs({ args, options: definitions, strict: true });
  if (values.help) return undefined;
  const { quick } = values;
  const only = values.only === undefined ? undefined : onlyOf(values.only);
  const wanted = wantedOf(split(values.workload), only, values.soak !== undefined);
  const concurrencies = split(values.concurrency)?.map((text) => whole("concurrency", text, 2_000));
  return {
    ...wanted,
    auditEvents: whole("audit-events", values["audit-events"] ?? (quick ? "20000" : "1000000"), 100_000_000),
    cells: wanted.workloads.flatMap((workload) =>
      (concurrencies ?? usualConcurrencies(workload, quick)).map((concurrency) => ({ workload, concurrency })),
    ),
    turns: whole("turns", values.turns ?? (quick ? "2" : "3"), 100),
    measureMs: positive("seconds", values.seconds ?? (quick ? "0.9" : "3"), 600) * 1_000,
    warmUpMs: quick ? 300 : 1_000,
    ...(only !== undefined && { only }),
    ...(values.json !== undefined && { jsonFile: values.json }),
    ...(values.profile !== undefined && { profileDir: values.profile }),
    ...(values.soak !== undefined && { soakMinutes: positive("soak", values.soak, 24 * 60) }),
  };
}
