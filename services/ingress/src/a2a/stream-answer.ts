import {
  eventsFor,
  faultAnswer,
  observeEvent,
  speakTheSame,
  StreamMemory,
  updatesOf01,
  type Observed,
  type Sides,
} from "@sluice/a2a";
import { asBuffer, toFault, type Dialect, type Fault, type Renames } from "@sluice/contracts";
import type { Answer } from "../answer.ts";
import { EventCutter } from "../event-cutter.ts";
import { headersFor } from "./a2a-manner.ts";
import { dataLines, errorLines } from "./event-lines.ts";

/** What is known of the stream that a client reads from now on. */
export interface StreamSource {
  readonly dialect: Dialect;
  /** The JSON-RPC id that its events have, as raw JSON. */
  readonly rpcId: string | undefined;
  readonly renames: Renames | undefined;
  /** The dialect of its reader, where the stream tells more of it. */
  readonly client?: Dialect;
}

/** How a client reads a stream. */
export type Reader = Pick<Sides, "client" | "operation" | "rpcId" | "named" | "hasTask" | "context">;

/**
 * The answer to one reader of a task's stream: frames are written to it as they came, and go on untouched where they are in
 * the client's dialect already and answer its own request; else event by event in its words.
 */
export class StreamAnswer implements Answer {
  readonly #response: Answer;
  #reader: Reader;
  #source: StreamSource | undefined;
  /** Absent where nothing is translated. */
  #cutter: EventCutter | undefined;
  #last: Buffer | undefined;
  #fault: Fault | undefined;
  readonly #memory = new StreamMemory();

  constructor(response: Answer, reader: Reader) {
    this.#response = response;
    this.#reader = reader;
  }

  /** From now on frames of this stream are written. */
  reads(source: StreamSource): void {
    this.#source = source;
    if (source.client !== undefined) this.#reader = { ...this.#reader, client: source.client };
    this.#cutter = isAsItCame(source, this.#reader) ? undefined : new EventCutter();
    this.#last = undefined;
  }

  /** Its reader has had the beginning of the stream before. */
  goesOn(): void {
    this.#memory.begin();
  }

  /** What the event says that was written last; undefined where that is not known. */
  get last(): Observed | undefined {
    const written = this.#last ?? nothing;
    const [last] = this.#cutter === undefined ? new EventCutter().push(written).slice(-1) : [written];
    if (this.#source === undefined || last === undefined || last.length === 0) return undefined;
    try {
      return observeEvent(this.#source.dialect, last);
    } catch {
      return undefined;
    }
  }

  /** Why it ended before the stream did, where an event could not be told in the client's dialect. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  get statusCode(): number {
    return this.#response.statusCode;
  }

  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  get destroyed(): boolean {
    return this.#response.destroyed;
  }

  get writableLength(): number {
    return this.#response.writableLength;
  }

  get socket(): Answer["socket"] {
    return this.#response.socket;
  }

  writeHead(status: number, headers: Record<string, string | number>): unknown {
    if (this.#cutter === undefined) return this.#response.writeHead(status, headers);
    return this.#response.writeHead(status, headersFor(this.#reader.client, headers, "text/event-stream"));
  }

  flushHeaders(): void {
    this.#response.flushHeaders();
  }

  /** Bytes are the stream's; text is the gateway's own and goes on as it is. */
  write(bytes: string | Uint8Array): boolean {
    if (typeof bytes === "string" || this.#source === undefined) return this.#response.write(bytes);
    if (this.#fault !== undefined) return true;
    if (this.#cutter !== undefined) return this.#translate(this.#cutter, this.#source, asBuffer(bytes));
    this.#last = asBuffer(bytes);
    return this.#response.write(bytes);
  }

  end(bytes?: string | Uint8Array): unknown {
    return bytes === undefined ? this.#response.end() : this.#response.end(bytes);
  }

  /** Ends with an error in the client's dialect. */
  fail(fault: Fault): void {
    if (this.#fault !== undefined || this.destroyed) return;
    this.#fault = fault;
    const { client, rpcId } = this.#reader;
    this.#response.end(errorLines(faultAnswer(client, fault, rpcId).body));
  }

  destroy(): unknown {
    return this.#response.destroy();
  }

  on(event: "close" | "drain", listener: () => void): unknown {
    return this.#response.on(event, listener);
  }

  once(event: "close" | "drain", listener: () => void): unknown {
    return this.#response.once(event, listener);
  }

  off(event: "close" | "drain", listener: () => void): unknown {
    return this.#response.off(event, listener);
  }

  #translate(cutter: EventCutter, { dialect, renames }: StreamSource, bytes: Buffer): boolean {
    const sides: Sides = {
      ...this.#reader,
      upstream: dialect,
      memory: this.#memory,
      ...(renames !== undefined && { renames }),
    };
    const isOf01 = sides.client.version === "0.1" && dialect.version === "0.1";
    try {
      let goesOn = true;
      for (const { data, id } of cutter.events(bytes)) {
        this.#last = data;
        const events = eventsFor(sides, data).flatMap((event) => (isOf01 ? updatesOf01(event) : [event]));
        for (const [index, event] of events.entries())
          goesOn = this.#response.write(linesFor(sides.client, event, index === events.length - 1 ? id : undefined));
      }
      return goesOn;
    } catch (error) {
      this.fail(toFault(error));
      return true;
    }
  }
}

const nothing = Buffer.alloc(0);

function isAsItCame({ dialect, rpcId, renames }: StreamSource, { client, rpcId: own }: Reader): boolean {
  return (
    renames === undefined && rpcId === own && client.version !== "0.1" && speakTheSame({ client, upstream: dialect })
  );
}

/** JSON-RPC tells by itself what is an error. */
function linesFor(client: Dialect, event: Buffer, id: string | undefined): Buffer {
  const isError = client.binding === "HTTP+JSON" && observeEvent(client, event).kind === "error";
  return isError ? errorLines(event, id) : dataLines(event, id);
}
