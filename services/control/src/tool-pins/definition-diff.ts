import { gunzipSync } from "node:zlib";
import type { ServerPlace, ToolPinStore } from "@sluice/bus";
import { Fault, type ToolPin } from "@sluice/contracts";
import { parseExact } from "@sluice/json";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import { lastApproved } from "./registry.ts";

export interface Asked {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export interface DefinitionDiff {
  /** Absent where there is nothing to compare with. */
  readonly from?: string;
  readonly to: string;
  /** Unified; of pretty JSON whose members are sorted. */
  readonly diff: string;
}

/** Texts that differ more than this are shown one after the other. */
const mostEdits = 1_000;
const diffMs = 500;

/** How one definition differs from another: unless asked, the newest that waits from the one approved last. @throws Fault */
export async function diffDefinitions(
  store: ToolPinStore,
  { place, pin }: { place: ServerPlace; pin: ToolPin },
  asked: Asked,
): Promise<DefinitionDiff> {
  const waiting = pin.definitions.filter(({ state }) => state === "pending").at(-1);
  const to = asked.to ?? waiting?.hash ?? pin.definitions.at(-1)?.hash;
  if (to === undefined) throw new Fault("not_found", "the tool has no definition");
  const approved = lastApproved(pin);
  const from = asked.from ?? (approved === to ? undefined : approved);
  const [before, after] = await Promise.all([
    from === undefined ? "" : prettyText(store, place, from),
    prettyText(store, place, to),
  ]);
  return {
    ...(from !== undefined && { from }),
    to,
    diff: unified({ hash: from, text: before }, { hash: to, text: after }),
  };
}

interface Side {
  readonly hash: string | undefined;
  readonly text: string;
}

export function unified(before: Side, after: Side): string {
  const names = [before.hash ?? "(none)", after.hash ?? "(none)"] as const;
  const patch = createTwoFilesPatch(...names, before.text, after.text, "", "", {
    headerOptions: FILE_HEADERS_ONLY,
    maxEditLength: mostEdits,
    timeout: diffMs,
  });
  return patch ?? wholly(names, before.text, after.text);
}

function wholly([from, to]: readonly [string, string], before: string, after: string): string {
  const lines = (text: string, sign: string) =>
    text.split("\n").flatMap((line) => (line === "" ? [] : `${sign}${line}`));
  return [`--- ${from}`, `+++ ${to}`, ...lines(before, "-"), ...lines(after, "+"), ""].join("\n");
}

async function prettyText(store: ToolPinStore, place: ServerPlace, hash: string): Promise<string> {
  const gzipped = await store.text(place, hash);
  if (gzipped === undefined)
    throw new Fault(
      "not_found",
      `the text of the definition ${hash} is not kept: it is unknown, too large, or made room`,
    );
  return pretty(gunzipSync(gzipped).toString("utf8"));
}

/** JSON to be read by people; what they could not see is written as its escape. */
export function pretty(canonical: string): string {
  const text = JSON.stringify(parseExact(canonical), null, 2);
  return `${text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u00a0\u2000-\u200f\u3164]/gu, escaped)}\n`;
}

function escaped(character: string): string {
  if (character === "\n") return character;
  return [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
    .join("");
}
