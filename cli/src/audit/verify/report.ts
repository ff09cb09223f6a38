import type { EmitterReport } from "./emitters.ts";
import type { Problem } from "./problem.ts";
import type { Proven } from "./proof.ts";
import type { LogReport } from "./verification.ts";
import { visible } from "../../visible.ts";

/** Whose word the checkpoints have: of a key that was given, of one that the export names itself, or nobody's. */
export type Trust = "given" | "claimed" | "none";

/** What `sluice audit verify --json` prints. */
export interface Outcome {
  readonly ok: boolean;
  /** What was shown: that these are the events that were signed, or only that they fit each other. */
  readonly shown: "signed" | "consistent";
  readonly trust: Trust;
  readonly logs: readonly LogReport[];
  readonly problems: readonly Problem[];
  /** How many there are; the list has the first hundred of each log. */
  readonly problemCount: number;
  readonly warnings: readonly string[];
  readonly emitters?: Omit<EmitterReport, "warnings">;
}

const mostShown = 20;

/** In words, for people. Nothing in it can move the cursor. */
export function linesFor(outcome: Outcome): string[] {
  const { ok, logs, problems, problemCount, warnings, emitters, trust } = outcome;
  const shown = problems.slice(0, mostShown);
  return [
    ...logs.map((log) => visible(`${log.log}: ${sizeOf(log)}. ${coverOf(log)}`)),
    ...(emitters === undefined
      ? ["emitters: not checked, that takes all logs"]
      : [`emitters: ${emitters.emitters}, of which ${emitters.whole} ended and left no number out`]),
    ...warnings.map((warning) => visible(`warning: ${warning}`)),
    ...shown.map((problem) => visible(`WRONG ${placeOf(problem)}${problem.text}`)),
    ...(problemCount > shown.length ? [`and ${problemCount - shown.length} more`] : []),
    ok ? verdictOf(outcome) : visible(failureOf(problems)),
    ...(trust === "claimed" && ok
      ? [
          "The key is the one that the export names itself: who made the export may have made it. Give the signer's with --key.",
        ]
      : []),
  ];
}

/** The same of one proof. */
export function linesForProof({ ok, event, log, index, size, shown, fault, entry }: Proven): string[] {
  const place = `event ${index} of log ${log} (${event})`;
  if (!ok) return [visible(`NOT OK: ${place}: ${fault}`)];
  const who = shown === "signed" ? "that was signed" : "whose signature was not checked: give the signer's --key";
  return [visible(JSON.stringify(entry.event)), visible(`OK: ${place} is in the tree of ${size} leaves ${who}`)];
}

function sizeOf({ size, pruned, root }: LogReport): string {
  const removed = pruned === 0 ? "" : `, the first ${pruned} as hashes only (retention)`;
  return `${size} event${size === 1 ? "" : "s"}${removed}${root === undefined ? "" : `, root ${root}`}`;
}

function coverOf({ size, checkpoint }: LogReport): string {
  if (checkpoint === undefined) return "No checkpoint covers them";
  const { size: covered, from, at, isVerified } = checkpoint;
  const signed = `${isVerified ? "Signed" : "With a checkpoint whose signature was not checked"} up to event ${covered - 1}`;
  const when = at === undefined ? "" : `, on ${new Date(at).toISOString()}`;
  const tail = size - covered;
  const behind =
    tail === 0 ? "nothing lies behind it" : `${tail} behind it ${tail === 1 ? "is" : "are"} covered by none`;
  return `${signed} (${from}${when}); ${behind}`;
}

function placeOf({ log, index, last }: Problem): string {
  if (log === undefined) return "";
  if (index === undefined) return `${log}: `;
  return `${log} ${last === undefined ? index : `${index}–${last}`}: `;
}

function verdictOf({ shown }: Outcome): string {
  return shown === "signed"
    ? "OK: up to the checkpoints named above these are the events that were signed, all of them and in their order."
    : "OK, but only inner consistency was shown: events, trees and heads fit each other. Whoever can write all of them could have made them anew; give the signer's --key, and a --checkpoint that was kept elsewhere.";
}

function failureOf(problems: readonly Problem[]): string {
  const first = problems.find(({ index }) => index !== undefined);
  return first === undefined
    ? "NOT OK"
    : `NOT OK: the first bad event of log ${first.log} is ${first.last === undefined ? "" : "at or behind "}${first.index}`;
}
