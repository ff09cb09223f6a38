import { allRenames, answerFor, eventsFor, speakTheSame, updatesOf01, type Sides } from "@sluice/a2a";
import { mostScannedBytes } from "@sluice/capture";
import type { InWords } from "../answer-record.ts";

/** What the client of a call gets of its agent's words: ingress says it to the client in this way. */
export function inWordsOf(asked: Sides): InWords {
  return (data, { dialect: upstream, renames: fresh, status = 200 }, isEvent) => {
    if (upstream === undefined) return [data];
    const renames = allRenames(asked.renames, fresh);
    const sides: Sides = { ...asked, upstream, ...(renames !== undefined && { renames }) };
    const isOf01 = sides.client.version === "0.1" && upstream.version === "0.1";
    if (renames === undefined && speakTheSame(sides) && !(isEvent && isOf01)) return [data];
    if (data.length > mostScannedBytes) throw new RangeError("too large to be put into other words twice");
    if (!isEvent) return [answerFor(sides, { status, contentType: "application/json", body: data }).body];
    return eventsFor(sides, data).flatMap((event) => (isOf01 ? updatesOf01(event) : [event]));
  };
}
