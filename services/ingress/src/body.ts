import type { IncomingMessage } from "node:http";
import { Fault } from "@sluice/contracts";
import type { AgentBudget } from "./budget.ts";

const inUtf8 = '[ \\t]*(?:;[ \\t]*charset[ \\t]*=[ \\t]*"?utf-8"?[ \\t]*)?$';
const accepted = {
  json: { pattern: new RegExp(`^application/json${inUtf8}`, "i"), named: "application/json" },
  a2a: { pattern: new RegExp(`^application/(?:a2a\\+)?json${inUtf8}`, "i"), named: "application/a2a+json" },
};

/** @throws Fault `unsupported_media_type` for anything but plain JSON in UTF-8. */
export function requireJson(request: IncomingMessage): void {
  requireType(request, "json");
}

/** The same; `a2a` may also be called what REST of A2A calls it. @throws Fault `unsupported_media_type` */
export function requireType(request: IncomingMessage, kind: keyof typeof accepted): void {
  const { "content-type": type, "content-encoding": encoding } = request.headers;
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new Fault("unsupported_media_type", "send the body without Content-Encoding");
  }
  const { pattern, named } = accepted[kind];
  if (type === undefined || !pattern.test(type))
    throw new Fault("unsupported_media_type", `send Content-Type: ${named}`);
}

const noBytes = Buffer.alloc(0);

/** A body in memory, until it is let go of: then nothing but its length is left. */
export class Body implements Disposable {
  readonly length: number;
  #bytes: Buffer;
  #onRelease: () => void;

  constructor(bytes: Buffer, onRelease: () => void = () => {}) {
    this.#bytes = bytes;
    this.length = bytes.length;
    this.#onRelease = onRelease;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  release(): void {
    const onRelease = this.#onRelease;
    this.#onRelease = () => {};
    this.#bytes = noBytes;
    onRelease();
  }

  /** Bodies for what this one is made of; it is let go of once each of them is. */
  cut(parts: readonly Buffer[]): Body[] {
    let left = parts.length;
    return parts.map(
      (bytes) =>
        new Body(bytes, () => {
          if (--left === 0) this.release();
        }),
    );
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** The refusal of a body that is larger than it may be. */
export function payloadTooLarge(limit: number): Fault {
  return new Fault("payload_too_large", `the body is larger than ${limit} bytes`);
}

export interface ReadOptions {
  readonly limit: number;
  readonly budget: AgentBudget;
}

/**
 * Reads a body whole.
 * @throws Fault `payload_too_large`, `overloaded`, or `client_left`.
 */
export function readBody(request: IncomingMessage, { limit, budget }: ReadOptions): Promise<Body> {
  const { promise, resolve, reject } = Promise.withResolvers<Body>();
  const tooLarge = () => payloadTooLarge(limit);
  if (Number(request.headers["content-length"] ?? 0) > limit) return Promise.reject(tooLarge());
  const hold = budget.open();
  let chunks: Buffer[] = [];
  let size = 0;
  const fail = (fault: Fault) => {
    request.off("data", onData);
    hold.release();
    chunks = [];
    reject(fault);
  };
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    try {
      if (size > limit) throw tooLarge();
      hold.resize(size);
    } catch (error) {
      fail(error as Fault);
      return;
    }
    chunks.push(chunk);
  };
  let ended = false;
  request.on("data", onData);
  request.once("end", () => {
    ended = true;
    const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
    chunks = [];
    resolve(new Body(bytes, () => hold.release()));
  });
  request.once("close", () => {
    if (!ended) fail(new Fault("client_left", "the request ended early"));
  });
  return promise;
}
