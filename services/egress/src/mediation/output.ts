import type { StreamWriter } from "@sluice/bus";
import { chunkBytes, encodeJson, type StreamEnd } from "@sluice/contracts";
import { nobodyCameBack, type ActiveCall, type Ending } from "../active-call.ts";
import { isObject, type RpcMessage } from "./rpc.ts";

/** From this protocol revision on, clients understand an event with an id and empty data (MCP 2025-11-25, Transports). */
const primingSince = "2025-11-25";

/** More than this on its way into the stream, and whoever says more has to wait. */
const pauseBytes = 1024 * 1024;
/** More than this, from who cannot be made to wait, and the answer is given up. */
const mostBytes = 32 * 1024 * 1024;

export interface OutputOptions {
  readonly call: ActiveCall;
  /** Begins the answer's stream. */
  readonly stream: (head: { status: number; headers: Record<string, string> }) => StreamWriter;
  /** Sends a whole answer. */
  readonly reply: (answer: { status: number; headers: Record<string, string>; body: Buffer }) => Promise<Ending>;
}

/** The answer to one call of an agent: one message, or a stream of events as soon as there is more to say. */
export class Output {
  readonly #options: OutputOptions;
  #writer: StreamWriter | undefined;
  #turn: Promise<void> = Promise.resolve();
  #pending = 0;
  #events = 0;
  #isFinished = false;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  get isStream(): boolean {
    return this.#writer !== undefined;
  }

  /** Begins the stream, where it has not begun. */
  open(): void {
    if (this.#writer !== undefined || this.#isFinished) return;
    const { call, stream } = this.#options;
    const { head } = call;
    this.#writer = stream({ status: 200, headers: { "content-type": "text/event-stream" } });
    const version = head.headers["mcp-protocol-version"] ?? "";
    if (head.era === "legacy" && version >= primingSince) this.#write("data: \n");
  }

  /** Sends a message ahead of the answer, unless a plain answer is all that is wanted. */
  event(message: unknown): void {
    if (this.#isFinished) return;
    if (this.#options.call.head.isPlain === true) return;
    this.#event(message, false);
  }

  /** Resolves when more may be said: what was said is in the stream, and its reader near enough. */
  async room(): Promise<void> {
    while (this.#pending > pauseBytes && this.#options.call.ended === undefined) await this.#turn.catch(() => {});
    await this.#options.call.room();
  }

  /** Sends the last message, or none. */
  async finish(message: RpcMessage | undefined, status = 200, headers: Record<string, string> = {}): Promise<Ending> {
    const isError =
      (message?.error ?? undefined) !== undefined || (isObject(message?.result) && message.result["isError"] === true);
    const seen = message === undefined ? {} : { isError };
    if (this.#writer === undefined) {
      this.#isFinished = true;
      const body = message === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(message));
      const type = message === undefined ? {} : { "content-type": "application/json" };
      return { ...(await this.#options.reply({ status, headers: { ...type, ...headers }, body })), ...seen };
    }
    if (message !== undefined && this.#options.call.head.isPlain !== true) this.#event(message, true);
    this.#isFinished = true;
    await this.#turn;
    const end: StreamEnd = { answered: message !== undefined };
    await this.#writer.end(Buffer.from(encodeJson(end)));
    return { status: 200, events: this.#events, ...seen };
  }

  #event(message: unknown, answers: boolean): void {
    const text = JSON.stringify(message);
    this.open();
    this.#events++;
    this.#options.call.record.event(Buffer.from(text), answers);
    this.#write(`event: message\ndata: ${text}\n`);
  }

  #write(lines: string): void {
    const { call } = this.#options;
    const writer = this.#writer;
    if (writer === undefined) return;
    let rest: Buffer = Buffer.from(lines);
    const size = rest.length;
    this.#pending += size;
    if (this.#pending > mostBytes) call.end(nobodyCameBack());
    const write = async () => {
      call.lastActivity = Date.now();
      for (; rest.length > chunkBytes; rest = rest.subarray(chunkBytes)) {
        call.relayed(chunkBytes, writer.next);
        await writer.write(rest.subarray(0, chunkBytes), 1);
      }
      const tail = call.head.era === "legacy" ? `id: ${call.head.stream}.${writer.next}\n\n` : "\n";
      const bytes = Buffer.concat([rest, Buffer.from(tail)]);
      call.relayed(bytes.length, writer.next);
      await writer.write(bytes, 1);
    };
    this.#turn = this.#turn.then(write).finally(() => (this.#pending -= size));
    this.#turn.catch(() => {});
  }
}
