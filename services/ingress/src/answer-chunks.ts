import { BodyReceiver, type Bus, type Incoming } from "@sluice/bus";
import { Fault } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import { drained } from "./writing.ts";

/** What an answer may have that is put together here. */
const longestGatheredBytes = 32 * 1024 * 1024;

/** The parts of a large answer as they come from egress. */
export class AnswerChunks {
  readonly #receiver: BodyReceiver;
  readonly #onProgress: () => void;

  constructor(bus: Bus, onProgress: () => void) {
    this.#receiver = new BodyReceiver(bus);
    this.#onProgress = onProgress;
    onProgress();
  }

  push(message: Incoming): void {
    this.#onProgress();
    this.#receiver.push(message);
  }

  fail(fault: Fault): void {
    this.#receiver.fail(fault);
  }

  /** Writes them as they came, no faster than the client reads; breaks off where they do. */
  async writeTo(response: Answer): Promise<void> {
    try {
      for await (const chunk of this.#receiver) {
        if (!response.write(chunk)) await drained(response, 0);
        this.#onProgress();
      }
      response.end();
    } catch {
      response.destroy();
    }
  }

  /**
   * All of them together.
   * @param book is told how many bytes are held
   * @throws Fault
   */
  async gather(book: (bytes: number) => void): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.#receiver) {
      parts.push(chunk);
      size += chunk.length;
      if (size > longestGatheredBytes) throw new Fault("upstream_failed", "the answer is too large to be translated");
      book(size);
      this.#onProgress();
    }
    return Buffer.concat(parts, size);
  }
}
