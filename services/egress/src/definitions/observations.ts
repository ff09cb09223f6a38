import { gzipSync } from "node:zlib";
import type { Bus, PinListener, ServerPlace } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  type Observation,
  type ObservationAnswer,
  type ObservedDefinition,
} from "@sluice/contracts";
import type { Definition } from "./definition.ts";

/** Of one question and its answer, so that each fits one message. */
const questionBytes = 512 * 1024;
const questionDefinitions = 128;
/** A definition whose gzipped text is larger is known by its hash alone. */
const textBytes = 384 * 1024;

interface Seen extends Pick<Observation, "isWhole" | "trustsFirstSight"> {
  readonly definitions: readonly Definition[];
  readonly timeoutMs: number;
}

/** Tells control which definitions a server shows, and the book what is known of them then. @throws Fault `unavailable` */
export async function observe(
  { bus, book }: { bus: Pick<Bus, "ask">; book: Pick<PinListener, "onPin" | "onSeen"> },
  place: ServerPlace,
  { definitions, isWhole, trustsFirstSight, timeoutMs }: Seen,
): Promise<void> {
  const slices = cut(definitions.map(observed));
  for (const [index, slice] of slices.entries()) {
    const isLast = isWhole && index === slices.length - 1;
    const question: Observation = { ...place, isWhole: isLast, trustsFirstSight, definitions: slice };
    const answer = await bus.ask(subjects.ask("control", "observe"), encodeJson(question), { timeoutMs });
    const { pins } = decodeJson<ObservationAnswer>(answer.data);
    if (pins === undefined) throw new Fault("unavailable", "the tools' definitions could not be put on record");
    for (const kept of pins) book.onPin(place, kept);
    if (isLast) book.onSeen(place);
  }
}

function observed({ tool, hash, text }: Definition): ObservedDefinition {
  const gzipped = gzipSync(text);
  return { tool, hash, ...(gzipped.length <= textBytes && { text: gzipped.toString("base64") }) };
}

/** At least one slice, which may be empty: a server may have no tools. */
function cut(all: readonly ObservedDefinition[]): ObservedDefinition[][] {
  const slices: ObservedDefinition[][] = [[]];
  let bytes = 0;
  for (const one of all) {
    // A character of a name takes up to six bytes of JSON.
    const size = one.tool.length * 6 + (one.text?.length ?? 0) + 256;
    const last = slices.at(-1) ?? [];
    if (last.length > 0 && (bytes + size > questionBytes || last.length >= questionDefinitions)) {
      slices.push([one]);
      bytes = size;
    } else {
      last.push(one);
      bytes += size;
    }
  }
  return slices;
}
