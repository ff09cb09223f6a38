import { observeEvent, type Observed } from "@sluice/a2a";
import { Fault, type Dialect } from "@sluice/contracts";
import { compile, raw, scan } from "@sluice/json";
import { isSameId } from "../answer-check.ts";
import { SseReader } from "@sluice/relay";

/** Of one event; what is longer ends its stream. */
export const mostEventBytes = 4 * 1024 * 1024;

const wanted = compile([["id"], ["result"], ["error"]], []);
const newline = Buffer.from("\n");

/** One event of an agent's stream, whole. */
export interface AgentEvent {
  readonly data: Buffer;
  /** Its lines as they came, but for `id`, comments and a name that is empty. */
  readonly lines: Buffer;
  readonly observed: Observed;
}

/** What an agent must not send in a stream: it is not asked again. */
export class BadEvent extends Fault {}

/** Cuts an agent's stream into events and looks at each. @throws BadEvent, or the fault that the source ends with */
export async function* eventsOf(
  source: AsyncIterable<Buffer>,
  { dialect, rpcId }: { readonly dialect: Dialect; readonly rpcId: string | undefined },
): AsyncGenerator<AgentEvent> {
  const reader = new SseReader(mostEventBytes);
  for await (const chunk of source) {
    for (const { bytes, data, otherLines, endsEvent } of reader.push(chunk)) {
      if (!endsEvent || data === undefined) throw bad("an event is too large");
      if (data.length === 0) continue;
      const lines = otherLines === undefined || otherLines.length === 0 ? bytes : named(otherLines, data);
      yield { data, lines, observed: look(data, dialect, rpcId) };
    }
  }
}

/** An event that holds this. */
export function eventWith(data: Buffer, dialect: Dialect): AgentEvent {
  return { data, lines: dataLines(data), observed: look(data, dialect, undefined) };
}

function look(data: Buffer, dialect: Dialect, rpcId: string | undefined): Observed {
  if (dialect.binding === "JSONRPC") requireAnswer(data, rpcId);
  try {
    return observeEvent(dialect, data);
  } catch (cause) {
    throw bad("an event cannot be read", cause);
  }
}

function requireAnswer(data: Buffer, rpcId: string | undefined): void {
  const seen = scan(data, wanted);
  if (!seen.ok) throw bad("an event is no JSON that can be read");
  const [id, result, error] = seen.values;
  if ((result ?? error) === undefined) throw bad("an event is no JSON-RPC answer");
  const given = id === undefined ? "null" : raw(data, id).toString("utf8");
  if (rpcId === undefined || (error !== undefined && given === "null")) return;
  if (!isSameId(given, rpcId)) throw bad("an event answers another request than was sent");
}

/** A field of its own for an event's name mislabels the next event where it is empty. */
function named(otherLines: Buffer, data: Buffer): Buffer {
  const kept = otherLines
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "" && !/^event:?\s*$/.test(line));
  return Buffer.concat([Buffer.from(kept.map((line) => `${line}\n`).join("")), dataLines(data)]);
}

/** The lines of an event that hold this. */
function dataLines(data: Buffer): Buffer {
  if (!data.includes(0x0a)) return Buffer.concat([Buffer.from("data: "), data, newline]);
  const lines = data.toString("utf8").split("\n");
  return Buffer.from(lines.map((line) => `data: ${line}\n`).join(""));
}

function bad(message: string, cause?: unknown): BadEvent {
  return new BadEvent("upstream_failed", `the agent's stream is broken: ${message}`, { cause });
}
