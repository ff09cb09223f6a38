import type { ServerResponse } from "node:http";
import { FakeUpstream, until, type ReceivedRequest } from "@sluice/testing";
import { eventStreamOf, type EventReader } from "./wire.ts";

/** An answer that the test writes, one event at a time. */
export interface ScriptedStream {
  readonly response: ServerResponse;
  /** Settles when the connection is gone: whether the answer had been ended in order. */
  readonly closed: Promise<{ finished: boolean }>;
  note(number: number): void;
  /** Writes the answer to the request and ends. */
  answer(): void;
}

/** An upstream whose tool calls are answered by streams that the test writes; each is named by its tool. */
export class ScriptedStreams implements AsyncDisposable {
  readonly upstream: FakeUpstream;
  readonly #open = new Map<string, ScriptedStream>();

  private constructor(upstream: FakeUpstream) {
    this.upstream = upstream;
  }

  /** `headers: false` leaves even the answer's head to the test. */
  static async start(
    options: { headers: (tool: string) => boolean } = { headers: () => true },
  ): Promise<ScriptedStreams> {
    const upstream = await FakeUpstream.start((request, response) => streams.#take(request, response, options));
    const streams = new ScriptedStreams(upstream);
    return streams;
  }

  /** The call of this tool, once it arrived. */
  of(tool: string): Promise<ScriptedStream> {
    return until(`a call of ${tool} at the upstream`, () => this.#open.get(tool));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
  }

  #take({ message }: ReceivedRequest, response: ServerResponse, options: { headers: (tool: string) => boolean }): void {
    if (message?.id === undefined) return void response.writeHead(202).end();
    const tool = String(message.params?.["name"]);
    const closed = Promise.withResolvers<{ finished: boolean }>();
    response.once("close", () => closed.resolve({ finished: response.writableFinished }));
    const { id } = message;
    if (options.headers(tool)) response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    this.#open.set(tool, {
      response,
      closed: closed.promise,
      note: (number) =>
        void response.write(
          eventStreamOf([{ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: number } }]),
        ),
      answer: () =>
        void response.end(
          eventStreamOf([{ jsonrpc: "2.0", id, result: { content: [{ type: "text", text: "done" }] } }]),
        ),
    });
  }
}

/** The numbers that the upstream noted, as the reader got them. */
export const notes = (reader: EventReader) =>
  reader.messages.filter(({ method }) => method !== undefined).map(({ params }) => params?.["data"]);
/** The answers to requests among what the reader got. */
export const answers = (reader: EventReader) => reader.messages.filter(({ method }) => method === undefined);
export const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
/** The id of the event that brought a note. */
export const idOf = (reader: EventReader, note: number) =>
  reader.events.find(
    ({ data }) => data !== "" && (JSON.parse(data) as { params?: { data?: unknown } }).params?.data === note,
  )?.id ?? "none";
