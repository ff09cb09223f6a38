import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { a2aPath } from "./a2a-messages.ts";
import { lagText, measureLag, type AuditLagRow } from "./audit-lag.ts";
import { auditText, measureAudit, type AuditRow } from "./audit-rows.ts";
import { measure, type Cell, type Meters, type Sample } from "./measure.ts";
import { readOptions, usage, type BenchOptions } from "./options.ts";
import { startBaseline, startLoad, startUpstream, type Credentials, type Subject } from "./processes.ts";
import { reportText, sampleText } from "./report.ts";
import { rowsOf, type Row } from "./rows.ts";
import { startSluice } from "./sluice.ts";
import { soak } from "./soak.ts";
import { measureSubscriptions, subscriptionsText, type SubscriptionsRow } from "./subscriptions.ts";
import { startWorkstation } from "./workstation.ts";
import { isAboutRules, isFederated, tenantNames, workloads, type TenantName } from "./workloads.ts";

interface House extends Meters {
  /** In the order of each turn. */
  readonly subjects: readonly Subject[];
}

function newCredentials(): Credentials {
  const keys = tenantNames.map((name) => [name, randomBytes(24).toString("base64url")]);
  return { keys: Object.fromEntries(keys) as Record<TenantName, string>, secret: randomBytes(32).toString("hex") };
}

/** Everything started here is stopped by the stack, last first. */
async function startAll(options: BenchOptions, stack: AsyncDisposableStack): Promise<House> {
  const credentials = newCredentials();
  const profileDir = options.profileDir && resolve(options.profileDir);
  const wanted = options.soakMinutes ? "sluice" : options.only;
  const subjects: Subject[] = [];
  if (profileDir) {
    await mkdir(profileDir, { recursive: true });
    stack.defer(() => nameProfiles(profileDir, subjects));
  }
  const upstream = stack.use(await startUpstream());
  if (wanted !== "sluice") {
    const nodeArgs = profileDir ? ["--cpu-prof", `--cpu-prof-dir=${profileDir}`] : [];
    const { ready, pid } = stack.use(await startBaseline(upstream.port, credentials, nodeArgs));
    const target = { port: ready.port, key: credentials.keys.bench };
    const targetOf: Subject["targetOf"] = (workload) =>
      isFederated(workload) || isAboutRules(workload)
        ? undefined
        : { ...target, path: workload.protocol === "a2a" ? a2aPath : "/mcp" };
    subjects.push({ name: "baseline", targetOf, processes: [{ name: "baseline", pid }] });
  }
  const settings = { upstreamPort: upstream.port, credentials };
  const isWorkstation = options.workloads.map((name) => workloads[name].isWorkstation === true);
  if (wanted !== "baseline" && isWorkstation.includes(true)) {
    const nodeArgs = profileDir ? ["--cpu-prof", `--cpu-prof-dir=${profileDir}`] : [];
    subjects.push(await startWorkstation({ ...settings, nodeArgs }, stack));
  }
  if (wanted !== "baseline" && (isWorkstation.includes(false) || options.subscriptions || options.auditLag)) {
    console.log("starting Sluice …");
    subjects.push(await startSluice(profileDir ? { ...settings, profileDir } : settings, stack));
  }
  return { load: stack.use(await startLoad()), upstream, subjects };
}

/** Node names profiles by process id; people look for the service. */
async function nameProfiles(dir: string, subjects: readonly Subject[]): Promise<void> {
  const names = new Map(subjects.flatMap(({ processes }) => processes.map(({ name, pid }) => [String(pid), name])));
  for (const file of await readdir(dir)) {
    const [, pid, thread] = /^CPU\.\d+\.\d+\.(\d+)\.(\d+)\.\d+\.cpuprofile$/.exec(file) ?? [];
    const name = pid && names.get(pid);
    if (name)
      await rename(join(dir, file), join(dir, `${name}-${pid}${thread === "0" ? "" : `-${thread}`}.cpuprofile`));
  }
  console.log(`CPU profiles: ${dir}`);
}

/** Cells that are compared with each other take turns. */
async function runTurns(house: House, cells: readonly Cell[], options: BenchOptions): Promise<Row[]> {
  const runs = cells.map((cell) => ({ cell, samples: { baseline: [] as Sample[], sluice: [] as Sample[] } }));
  for (let turn = 1; turn <= options.turns; turn += 1) {
    for (const { cell, samples } of runs) {
      for (const subject of house.subjects) {
        const { warmUpMs, measureMs } = options;
        const sample = await measure(house, { subject, cell, warmUpMs, measureMs });
        if (!sample) continue;
        samples[subject.name].push(sample);
        const at = `${cell.workload.padEnd(23)} at ${String(cell.concurrency).padEnd(3)} turn ${turn}/${options.turns} ${subject.name.padEnd(8)}`;
        console.log(`${at} ${sampleText(sample)}`);
      }
    }
  }
  return runs.flatMap(({ cell, samples }) => rowsOf(cell, samples.baseline, samples.sluice));
}

/** Each cell by itself, but for those whose figures are set against each other. */
function groupsOf(cells: readonly Cell[]): Cell[][] {
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) {
    const name = isAboutRules(workloads[cell.workload])
      ? `rules ${cell.concurrency}`
      : `${cell.workload} ${cell.concurrency}`;
    groups.set(name, [...(groups.get(name) ?? []), cell]);
  }
  return [...groups.values()];
}

/** Compiled code and full pools on both sides before the first figure is taken: compiling costs as much CPU as some ten thousand calls. */
async function warmUp(house: House, options: BenchOptions): Promise<void> {
  const measureMs = options.warmUpMs * 3;
  for (const workload of options.workloads) {
    for (const subject of house.subjects) {
      const sample = await measure(house, { subject, cell: { workload, concurrency: 32 }, warmUpMs: 0, measureMs });
      if (!sample || workloads[workload].method !== "tools/list") continue;
      const atUpstream = Math.round(sample.requests * sample.upstreamPerRequest);
      console.log(
        `${workload.padEnd(23)} ${subject.name.padEnd(8)} the first ${sample.requests} listings took ${atUpstream} requests to the upstream`,
      );
    }
  }
}

async function bench(options: BenchOptions, house: House): Promise<readonly (Row | SubscriptionsRow | AuditLagRow)[]> {
  const [subject] = house.subjects;
  if (options.soakMinutes && subject) return soak(house, subject, options.soakMinutes);
  console.log("warming up …");
  await warmUp(house, options);
  const rows: Row[] = [];
  for (const cells of groupsOf(options.cells)) rows.push(...(await runTurns(house, cells, options)));
  if (rows.length > 0) console.log(reportText(rows));
  return [...rows, ...(await lags(options, house)), ...(await subscriptions(options, house))];
}

async function lags({ auditLag, measureMs }: BenchOptions, { load, subjects }: House): Promise<AuditLagRow[]> {
  const rows: AuditLagRow[] = [];
  for (const subject of auditLag ? subjects : []) {
    const row = await measureLag(load, subject, measureMs);
    if (row === undefined) continue;
    console.log(lagText(row));
    rows.push(row);
  }
  return rows;
}

async function subscriptions(
  { subscriptions: wanted }: BenchOptions,
  { subjects }: House,
): Promise<SubscriptionsRow[]> {
  const held: SubscriptionsRow[] = [];
  for (const subject of wanted ? subjects : []) held.push(await measureSubscriptions(subject));
  if (held.length > 0) console.log(subscriptionsText(held));
  return held;
}

/** Whether anything is sent at Sluice or the baseline. */
function needsHouse({ workloads: timed, subscriptions: wanted, auditLag }: BenchOptions): boolean {
  return timed.length > 0 || wanted || auditLag;
}

/** By itself: what it starts would be in the way of the others. */
async function ofTheTrail({ audit, auditEvents }: BenchOptions): Promise<AuditRow[]> {
  if (audit.length === 0) return [];
  const rows = await measureAudit(audit, auditEvents);
  console.log(auditText(rows));
  return rows;
}

/** Settles with a signal's name once one arrives; a second one doesn't wait for the stop. */
function interrupted(): Promise<NodeJS.Signals> {
  const { promise, resolve: settle } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, settle);
  return promise;
}

function jsonText(rows: readonly object[]): string {
  const rounded = (_key: string, value: unknown) =>
    typeof value === "number" ? Math.round(value * 1_000) / 1_000 : value;
  return `${JSON.stringify(rows, rounded, 2)}\n`;
}

async function run(options: BenchOptions): Promise<void> {
  const stack = new AsyncDisposableStack();
  const work = async (): Promise<void> => {
    const sent = needsHouse(options) ? await bench(options, await startAll(options, stack)) : [];
    await stack.disposeAsync();
    const rows = [...sent, ...(await ofTheTrail(options))];
    if (options.jsonFile) await writeFile(options.jsonFile, jsonText(rows));
  };
  const stopped = interrupted();
  try {
    await Promise.race([work(), stopped.then((signal) => Promise.reject(new Error(`stopped by ${signal}`)))]);
  } finally {
    await stack.disposeAsync();
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options) await run(options);
  else console.log(usage);
  process.exit(0);
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exit(1);
}
