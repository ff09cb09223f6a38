import { tableOf, type TableColumn } from "../audit/lines.ts";
import { named, type Place } from "./named.ts";

/** Calls that would be decided otherwise in the same way. */
interface Group {
  readonly tenant: string;
  readonly was: string;
  readonly now: string;
  readonly at?: Place;
  readonly becomes: "allow" | "deny";
  readonly agent: string | null;
  readonly method: string | null;
  readonly server: string | null;
  readonly target: string | null;
  readonly calls: number;
  readonly first: string;
  readonly last: string;
  readonly example: string;
}

interface UntoldGroup {
  readonly tenant: string;
  readonly because: string;
  readonly rules: readonly string[];
  readonly at?: Place;
  readonly calls: number;
  readonly example: string;
}

/** What control found. */
export interface Replayed {
  readonly calls: number;
  readonly first: string | null;
  readonly last: string | null;
  readonly otherwise: number;
  readonly newlyDenied: number;
  readonly newlyAllowed: number;
  readonly changed: readonly Group[];
  readonly untold: { readonly calls: number; readonly groups: readonly UntoldGroup[] };
  readonly uncompared: { readonly calls: number; readonly reasons: readonly { because: string; calls: number }[] };
  readonly shadow: { readonly calls: number; readonly untold: number; readonly groups: readonly Group[] };
  readonly lists: number;
}

const calls: TableColumn<{ readonly calls: number }> = {
  title: "CALLS",
  width: 9,
  right: true,
  text: (group) => String(group.calls),
};
const always = () => true;
const groupTable = tableOf<Group>([
  calls,
  { title: "TENANT", width: 12, text: ({ tenant }) => tenant },
  { title: "AGENT", width: 16, text: ({ agent }) => agent ?? "(several)" },
  { title: "METHOD", width: 16, whole: always, text: ({ method }) => method ?? "(several)" },
  { title: "TARGET", width: 32, text: calledOf },
  { title: "FIRST", width: 24, text: ({ first }) => first },
  { title: "LAST", width: 24, text: ({ last }) => last },
  { title: "EXAMPLE", width: 0, whole: always, text: ({ example }) => example },
]);

/** A report as people read it; of each kind at most `limit` groups. */
export function reportLines(report: Replayed, limit: number): string[] {
  const { changed, shadow } = report;
  const ofKind = (becomes: Group["becomes"]) => changed.filter((group) => group.becomes === becomes);
  return [
    ...section("newly denied", ofKind("deny"), limit),
    ...section("newly allowed", ofKind("allow"), limit),
    ...section("rules in shadow mode, were they in force: denied", shadow.groups.filter(isDenied), limit),
    ...section("rules in shadow mode, were they in force: allowed", shadow.groups.filter(not(isDenied)), limit),
    ...shadowUntoldLines(report),
    ...untoldLines(report, limit),
    ...uncomparedLines(report),
    ...listLines(report),
    summaryOf(report),
  ];
}

/** Groups of one rule and the one in its place stand together. */
function section(title: string, groups: readonly Group[], limit: number): string[] {
  if (groups.length === 0) return [];
  const shown = groups.slice(0, limit);
  const byRule = Map.groupBy(shown, ({ tenant, was, now }) => JSON.stringify([tenant, was, now]));
  return [
    `${title}: ${callsOf(groups.reduce((sum, group) => sum + group.calls, 0))}`,
    ...[...byRule.values()].flatMap((alike) => [
      ...alike.slice(0, 1).map(({ was, now, at }) => `  ${was} → ${named({ rule: now, at })}`),
      ...[groupTable.header, ...alike.map(groupTable.line)].map((line) => `  ${line}`),
    ]),
    ...moreThan(groups.length - shown.length),
    "",
  ];
}

function untoldLines({ untold }: Replayed, limit: number): string[] {
  if (untold.calls === 0) return [];
  const { groups } = untold;
  return [
    `can't be told: ${callsOf(untold.calls)}`,
    ...groups.slice(0, limit).map(({ calls: count, tenant, because, rules, at, example }) => {
      const [first, ...others] = rules;
      const looked = first === undefined ? "" : `: ${[named({ rule: first, at }), ...others].join(", ")}`;
      return `  ${String(count).padStart(calls.width)}  ${tenant}: ${because}${looked}, such as ${example}`;
    }),
    ...moreThan(groups.length - limit),
    "",
  ];
}

function uncomparedLines({ uncompared }: Replayed): string[] {
  if (uncompared.calls === 0) return [];
  return [
    `not compared, because rules did not decide them: ${callsOf(uncompared.calls)}`,
    ...uncompared.reasons.map(({ because, calls: count }) => `  ${String(count).padStart(calls.width)}  ${because}`),
    "",
  ];
}

function shadowUntoldLines({ shadow }: Replayed): string[] {
  if (shadow.untold === 0) return [];
  return [`rules in shadow mode look at arguments, which are not on record: ${callsOf(shadow.untold)}`, ""];
}

function listLines({ lists }: Replayed): string[] {
  if (lists === 0) return [];
  return [`${callsOf(lists)} asked for lists or cards: what was in them, and would be hidden, is not on record`, ""];
}

function summaryOf({
  calls: read,
  otherwise,
  newlyDenied,
  newlyAllowed,
  untold,
  uncompared,
  ...report
}: Replayed): string {
  const span = report.first === null ? "" : ` from ${report.first} to ${report.last}`;
  const changed = `${otherwise} would be decided otherwise (${newlyDenied} newly denied, ${newlyAllowed} newly allowed)`;
  return `${callsOf(read - uncompared.calls)} replayed${span}, ${changed}, of ${untold.calls} it can't be told; ${uncompared.calls} not compared`;
}

function isDenied({ becomes }: Group): boolean {
  return becomes === "deny";
}

function not<Of>(holds: (of: Of) => boolean): (of: Of) => boolean {
  return (of) => !holds(of);
}

function calledOf({ server, target }: Group): string {
  if (server === null) return "(several)";
  return target === null || target === server ? server : `${server}/${target}`;
}

function callsOf(count: number): string {
  return `${count} call${count === 1 ? "" : "s"}`;
}

function moreThan(more: number): string[] {
  return more > 0 ? [`  and ${more} more group${more === 1 ? "" : "s"}: --limit, --json`] : [];
}
