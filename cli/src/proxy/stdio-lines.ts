import type { Readable, Writable } from "node:stream";
import { Fault } from "@sluice/contracts";

const [lf, cr, space] = [0x0a, 0x0d, 0x20];

/** The lines that are not blank, as bytes: a line ends with LF, and with nothing else that JSON may hold. A fault stands for one that is too long. */
export async function* linesOf(from: Readable, mostBytes: number): AsyncGenerator<Buffer | Fault> {
  let parts: Buffer[] = [];
  let size = 0;
  const keep = (part: Buffer) => {
    size += part.length;
    if (size <= mostBytes) parts.push(part);
    else parts = [];
  };
  const line = () => {
    const whole = size > mostBytes ? tooLong(mostBytes) : withoutCr(Buffer.concat(parts));
    [parts, size] = [[], 0];
    return whole;
  };
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(lf); end !== -1; end = chunk.indexOf(lf, start)) {
        keep(chunk.subarray(start, end));
        const whole = line();
        if (whole instanceof Fault || !isBlank(whole)) yield whole;
        start = end + 1;
      }
      keep(chunk.subarray(start));
    }
  } catch {
    // It was broken off, by the client or by a stop.
    return;
  }
  const last = line();
  if (last instanceof Fault || !isBlank(last)) yield last;
}

/** Says lines no faster than they are read. */
export class Speaker {
  readonly #to: Writable;
  #room: PromiseWithResolvers<void> | undefined;
  #isGone = false;

  /** @param onGone nobody listens any more */
  constructor(to: Writable, onGone: () => void) {
    this.#to = to;
    const makeRoom = () => {
      this.#room?.resolve();
      this.#room = undefined;
    };
    to.on("drain", makeRoom).on("error", () => {
      this.#isGone = true;
      makeRoom();
      onGone();
    });
  }

  /** Resolves when there is room for the next. Line breaks can only stand between tokens of JSON. */
  async say(text: string): Promise<void> {
    if (this.#isGone) return;
    if (this.#to.write(`${text.replaceAll(/[\r\n]+/g, " ")}\n`)) return;
    this.#room ??= Promise.withResolvers<void>();
    await this.#room.promise;
  }
}

function withoutCr(line: Buffer): Buffer {
  return line.at(-1) === cr ? line.subarray(0, -1) : line;
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte <= space);
}

function tooLong(mostBytes: number): Fault {
  return new Fault("payload_too_large", `a message may have at most ${mostBytes} bytes: see MAX_BODY_BYTES`);
}
