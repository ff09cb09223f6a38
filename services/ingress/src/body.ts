import type { IncomingMessage } from "node:http";
import { Fault } from "@sluice/contracts";

const json = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-8"?[ \t]*)?$/i;

/** @throws Fault `unsupported_media_type` for anything but plain JSON in UTF-8. */
export function requireJson(request: IncomingMessage): void {
  const { "content-type": type, "content-encoding": encoding } = request.headers;
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new Fault("unsupported_media_type", "send the body without Content-Encoding");
  }
  if (type === undefined || !json.test(type))
    throw new Fault("unsupported_media_type", "send Content-Type: application/json");
}

/** Bounds what all requests together hold in memory. */
export class BodyBudget {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws Fault `overloaded` when the budget is used up. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#limit) throw new Fault("overloaded", "too many large requests are under way");
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

export interface ReadOptions {
  readonly limit: number;
  readonly budget: BodyBudget;
}

/**
 * Reads a body whole. The caller gives its length back to the budget when it is done with it.
 * @throws Fault `payload_too_large`, `overloaded`, or `client_left`.
 */
export function readBody(request: IncomingMessage, { limit, budget }: ReadOptions): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const tooLarge = () => new Fault("payload_too_large", `the body is larger than ${limit} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > limit) return Promise.reject(tooLarge());
  const chunks: Buffer[] = [];
  let size = 0;
  const fail = (fault: Fault) => {
    request.off("data", onData);
    budget.give(size);
    size = 0;
    reject(fault);
  };
  const onData = (chunk: Buffer) => {
    try {
      if (size + chunk.length > limit) throw tooLarge();
      budget.take(chunk.length);
    } catch (error) {
      fail(error as Fault);
      return;
    }
    size += chunk.length;
    chunks.push(chunk);
  };
  let ended = false;
  request.on("data", onData);
  request.once("end", () => {
    ended = true;
    resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size));
  });
  request.once("close", () => {
    if (!ended) fail(new Fault("client_left", "the request ended early"));
  });
  return promise;
}
