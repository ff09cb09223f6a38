const headEnd = Buffer.from("\r\n\r\n");
const lineEnd = Buffer.from("\r\n");

/** One answer, its body without the transfer coding. */
export interface Response {
  readonly status: number;
  readonly pieces: readonly Buffer[];
  readonly bytes: number;
}

/**
 * Reads one HTTP/1.1 answer after the other from the chunks of a socket, for a client that sends one request at a
 * time. It does the least that is correct: content-length and chunked bodies, no trailers.
 */
export class ResponseReader {
  #waiting: Buffer | undefined;
  #status = 0;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #state: "head" | "body" | "chunk-size" | "chunk" | "chunk-end" = "head";
  #left = 0;
  #lastChunk = false;

  /** Returns the answer that this chunk completes, if it does. */
  push(chunk: Buffer): Response | undefined {
    let bytes = this.#waiting ? Buffer.concat([this.#waiting, chunk]) : chunk;
    this.#waiting = undefined;
    for (;;) {
      const used = this.#step(bytes);
      if (used < 0) {
        if (bytes.length > 0) this.#waiting = bytes;
        return undefined;
      }
      bytes = bytes.subarray(used);
      if (this.#done()) return this.#take(bytes);
    }
  }

  /** Bytes used up, or -1 where more are needed. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case "head":
        return this.#head(bytes);
      case "chunk-size":
        return this.#chunkSize(bytes);
      case "chunk-end":
        if (bytes.length < 2) return -1;
        this.#state = "chunk-size";
        return 2;
      default:
        return this.#content(bytes);
    }
  }

  #head(bytes: Buffer): number {
    const end = bytes.indexOf(headEnd);
    if (end < 0) return -1;
    const head = bytes.toString("latin1", 0, end);
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length) this.#left = Number(length[1]);
    else if (!/\r\ntransfer-encoding: *chunked/i.test(head)) throw new Error(`an answer without length: ${head}`);
    this.#state = length ? "body" : "chunk-size";
    return end + 4;
  }

  #chunkSize(bytes: Buffer): number {
    const end = bytes.indexOf(lineEnd);
    if (end < 0) return -1;
    this.#left = Number.parseInt(bytes.toString("latin1", 0, end), 16);
    if (Number.isNaN(this.#left)) throw new Error("an answer with a broken chunk size");
    if (this.#left > 0) {
      this.#state = "chunk";
      return end + 2;
    }
    if (bytes.length < end + 4) return -1;
    this.#lastChunk = true;
    return end + 4;
  }

  #content(bytes: Buffer): number {
    if (bytes.length === 0) return -1;
    const taken = Math.min(bytes.length, this.#left);
    this.#pieces.push(bytes.subarray(0, taken));
    this.#bytes += taken;
    this.#left -= taken;
    if (this.#left === 0 && this.#state === "chunk") this.#state = "chunk-end";
    return taken;
  }

  #done(): boolean {
    return this.#lastChunk || (this.#state === "body" && this.#left === 0);
  }

  #take(rest: Buffer): Response {
    if (rest.length > 0) throw new Error("bytes after the answer that nobody asked for");
    const response = { status: this.#status, pieces: this.#pieces, bytes: this.#bytes };
    this.#pieces = [];
    this.#bytes = 0;
    this.#state = "head";
    this.#lastChunk = false;
    return response;
  }
}
