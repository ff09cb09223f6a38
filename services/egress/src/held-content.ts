/** What answers may take in memory together while they go out. */
const mostHeldBytes = 32 * 1024 * 1024;

/** What all answers that are being kept take at this moment. */
export class ContentBudget {
  #held = 0;

  /** Whether there was room. */
  take(bytes: number): boolean {
    if (this.#held + bytes > mostHeldBytes) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

/** The beginning of what an answer says. Once a part of it is left out, nothing after that is kept: what there is has no gaps. */
export class HeldContent {
  readonly #budget: ContentBudget;
  readonly #most: number;
  readonly #parts: Buffer[] = [];
  #held = 0;
  #bytes = 0;
  #isCut = false;

  constructor(budget: ContentBudget, most: number) {
    this.#budget = budget;
    this.#most = most;
  }

  add(bytes: Buffer): void {
    this.#bytes += bytes.length;
    const kept = Math.min(bytes.length, this.#most - this.#held);
    if (this.#isCut || !this.#budget.take(kept)) return void (this.#isCut = true);
    this.#isCut = kept < bytes.length;
    // A copy: the rest of what it came in is not kept with it.
    this.#parts.push(Buffer.from(bytes.subarray(0, kept)));
    this.#held += kept;
  }

  /** So much is left out. */
  pass(bytes: number): void {
    this.#bytes += bytes;
    this.#isCut = true;
  }

  /** What was kept, in base64, and the bytes of it all; lets go of it. */
  take(): { readonly data: string; readonly bytes: number } {
    const data = Buffer.concat(this.#parts).toString("base64");
    this.#budget.give(this.#held);
    this.#parts.length = this.#held = 0;
    return { data, bytes: this.#bytes };
  }
}
