import type { ReferenceAgent } from "./agents/agent.ts";
import type { RecordedServer } from "./agents/recorded-server.ts";
import { endsStream, type Piece } from "./agents/words.ts";
import type { A2aClient, Said, Seen } from "./clients/client.ts";

/** Where a scenario plays. */
export interface Stage {
  readonly client: A2aClient;
  readonly agent: Pick<ReferenceAgent, "gates" | "ledger">;
  /** A webhook that takes everything. */
  readonly webhook: RecordedServer;
}

export const say = (text: string, more: Omit<Said, "pieces"> = {}): Said => ({ pieces: [{ text }], ...more });

export const sayPieces = (pieces: readonly Piece[], more: Omit<Said, "pieces"> = {}): Said => ({ pieces, ...more });

export async function collect(events: AsyncIterable<Seen>): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

export function taskOf(seen: Seen): string {
  if (seen.is === "message") throw new Error("a message has no task");
  return seen.task;
}

/** A stream that is read as far as a scenario wants. */
export interface Reading {
  readonly seen: readonly Seen[];
  /** Reads on until an event is as wanted. */
  until(isWanted: (seen: Seen) => boolean): Promise<Seen>;
  rest(): Promise<readonly Seen[]>;
  leave(): Promise<void>;
}

export function read(open: (signal: AbortSignal) => AsyncIterable<Seen>): Reading {
  const seen: Seen[] = [];
  const leaving = new AbortController();
  const events = open(leaving.signal)[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await events.next();
    if (done) return undefined;
    seen.push(value);
    return value;
  };
  return {
    seen,
    async until(isWanted) {
      for (let event = await next(); event !== undefined; event = await next()) if (isWanted(event)) return event;
      throw new Error(`the stream ended after ${JSON.stringify(seen)}`);
    },
    async rest() {
      while ((await next()) !== undefined);
      return seen;
    },
    async leave() {
      leaving.abort();
      await events.return?.();
    },
  };
}

export const isWorking = (seen: Seen): boolean => "state" in seen && seen.state === "working";
export const isEnd = (seen: Seen): boolean => "state" in seen && endsStream(seen.state);

/** A task that runs until it is released, begun by a stream that stays open. */
export async function beginLong(
  { client }: Stage,
  more: Omit<Said, "pieces"> = {},
): Promise<Reading & { task: string }> {
  const reading = read((signal) => client.stream(say("long", more), { signal }));
  const task = taskOf(await reading.until(isWorking));
  return { ...reading, task };
}
