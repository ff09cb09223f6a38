import type { StreamWriter } from "@sluice/bus";
import { chunkBytes, encodeJson, Fault, faultData, faultEvent, toFault, type StreamEnd } from "@sluice/contracts";
import type { ActiveCall, Ending } from "./active-call.ts";
import { hideListed, observe, type ListFilter } from "./messages.ts";
import { SseReader, type SsePiece } from "@sluice/relay";

/** From this protocol revision on, clients understand an event with an id and empty data (MCP 2025-11-25, Transports). */
const primingSince = "2025-11-25";
const noData = Buffer.alloc(0);

/** An event stream as it comes. */
export interface StreamSource extends AsyncIterable<Buffer> {
  abort(fault: Fault): void;
}

export interface StreamRelayOptions {
  readonly call: ActiveCall;
  readonly exchange: StreamSource;
  readonly status: number;
  readonly writer: StreamWriter;
  /** Set where lists may come along that policy filters. */
  readonly filter?: ListFilter;
  readonly maxListBytes: number;
  /** Told the answer to the request, as it came. */
  readonly onAnswer: (bytes: Buffer) => void;
  /** Told when the upstream says by this notification that a list has changed. */
  readonly onChange: (method: string) => void;
}

/** Relays one event stream of an upstream into its reply stream, event by event as they come. */
export class StreamRelay {
  readonly #options: StreamRelayOptions;
  readonly #writer: StreamWriter;
  readonly #reader: SseReader;
  readonly #legacy: boolean;
  #answered = false;
  #isError = false;
  #events = 0;
  #primed = false;

  constructor(options: StreamRelayOptions) {
    const { call, filter, maxListBytes, writer } = options;
    this.#options = options;
    this.#legacy = call.head.era === "legacy";
    this.#writer = writer;
    this.#reader = new SseReader(filter === undefined ? chunkBytes : maxListBytes);
  }

  async run(): Promise<Ending> {
    const { call, exchange } = this.#options;
    let fault: Fault | undefined;
    try {
      await this.#prime();
      for await (const chunk of exchange) {
        call.lastActivity = Date.now();
        await this.#relay(this.#reader.push(chunk));
      }
    } catch (error) {
      fault = call.ended ?? toFault(error);
      exchange.abort(fault);
      await this.#tellFault(fault);
    }
    await this.#end();
    return {
      status: this.#options.status,
      events: this.#events,
      ...(this.#answered && { isError: this.#isError }),
      ...(fault !== undefined && !(call.listening && fault.kind === "client_left") && { fault: fault.kind }),
    };
  }

  async #prime(): Promise<void> {
    const version = this.#options.call.head.headers["mcp-protocol-version"] ?? "";
    if (!this.#legacy || version < primingSince) return;
    this.#primed = true;
    await this.#writer.write(this.#finish([Buffer.from("data: \n")], 1), 1);
  }

  async #relay(pieces: SsePiece[]): Promise<void> {
    let parts: Buffer[] = [];
    let count = 0;
    let size = 0;
    const flush = async () => {
      if (count === 0) return;
      const bytes = Buffer.concat(parts);
      const pieceCount = count;
      [parts, count, size] = [[], 0, 0];
      await this.#send(bytes, pieceCount);
    };
    for (const piece of pieces) {
      if (this.#primed && piece.data?.length === 0 && piece.otherLines?.length === 0) continue;
      let bytes = await this.#admit(piece);
      if (bytes.length > chunkBytes) await flush();
      for (; bytes.length > chunkBytes; bytes = bytes.subarray(chunkBytes))
        await this.#send(bytes.subarray(0, chunkBytes), 1);
      if (size + bytes.length > chunkBytes) await flush();
      count++;
      parts.push(piece.endsEvent ? this.#finish([bytes], count) : bytes);
      size += bytes.length;
      if (piece.endsEvent) this.#events++;
    }
    await flush();
  }

  /** Goes no further ahead of the reader than the call allows: the upstream waits then. */
  async #send(bytes: Buffer, pieces: number): Promise<void> {
    const { call } = this.#options;
    await call.room();
    call.lastActivity = Date.now();
    call.relayed(bytes.length, this.#writer.next + pieces - 1);
    await this.#writer.write(bytes, pieces);
  }

  /** Looks at an event and takes out what its reader may not see. */
  async #admit(piece: SsePiece): Promise<Buffer> {
    const { filter, call } = this.#options;
    const data = piece.data ?? noData;
    const isAnswer = data.length > 0 && this.#observe(data);
    if (piece.data === undefined && filter !== undefined)
      throw new Fault("upstream_failed", "an event is too large to be checked");
    const shown = filter === undefined || data.length === 0 ? data : await hideListed(data, filter);
    if (data.length > 0) call.record.event(shown, isAnswer);
    else if (piece.data === undefined) call.record.passed(piece.bytes.length);
    if (shown === data) return piece.bytes;
    const lines = shown
      .toString("utf8")
      .split("\n")
      .map((line) => `data: ${line}\n`);
    return Buffer.concat([piece.otherLines ?? noData, Buffer.from(lines.join(""))]);
  }

  /** Whether this is the answer to the request. */
  #observe(data: Buffer): boolean {
    const { call, onAnswer, onChange } = this.#options;
    const { answers, isError, changed } = observe(data);
    if (changed !== undefined) onChange(changed);
    if (answers === undefined || answers !== call.head.rpcId) return false;
    this.#answered = true;
    this.#isError = isError;
    onAnswer(data);
    return true;
  }

  /** Ends an event: in the legacy era with the id by which any replica can go on after it. */
  #finish(parts: Buffer[], pieceOfFrame: number): Buffer {
    const number = this.#writer.next + pieceOfFrame - 1;
    const tail = this.#legacy ? `id: ${this.#options.call.head.stream}.${number}\n\n` : "\n";
    return Buffer.concat([...parts, Buffer.from(tail)]);
  }

  /** A request whose answer will never come gets an error as its answer, so that no client waits for it. */
  async #tellFault(fault: Fault): Promise<void> {
    const { record, head } = this.#options.call;
    const { rpcId } = head;
    if (rpcId === undefined || this.#answered) return;
    this.#answered = true;
    this.#isError = true;
    record.event(Buffer.from(faultData(rpcId, fault)), true);
    await this.#writer.write(this.#finish([Buffer.from(faultEvent(rpcId, fault))], 1), 1).catch(() => {});
  }

  async #end(): Promise<void> {
    const { lastId } = this.#reader;
    const end: StreamEnd = { answered: this.#answered, ...(lastId !== undefined && { resumeFrom: lastId }) };
    await this.#writer.end(Buffer.from(encodeJson(end)));
  }
}
