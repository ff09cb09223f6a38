import { createHash, hash, type Hash } from "node:crypto";
import { answeredPart, type Captures } from "@sluice/capture";
import type { CallHead, Captured, Dialect, Renames } from "@sluice/contracts";
import type { HeldContent } from "./held-content.ts";

/** What a tenant wants of answers. */
export interface Wanted {
  readonly captures: Captures;
  /** Begins to keep what an answer says, where that is wanted. */
  readonly hold?: (() => HeldContent) | undefined;
}

/** What was said to a client, for the audit trail. */
export interface Recorded {
  readonly resultHash?: string;
  readonly captured?: Captured;
}

/** Of A2A: what an answer or an event is written in, and the names that came about with it. */
export interface Written {
  readonly dialect?: Dialect | undefined;
  readonly renames?: Renames | undefined;
  /** Of HTTP. */
  readonly status?: number;
}

/** One answer, or event of a stream, as its client gets it: none, one or several messages. @throws Fault */
export type InWords = (data: Buffer, written: Written, isEvent: boolean) => readonly Buffer[];

/** The answer to one call as its client gets it: noted while it goes out, looked at once it is out. */
export class AnswerRecord {
  #wanted: Wanted | undefined;
  #content: HeldContent | undefined;
  #inWords: InWords | undefined;
  #written: Written = {};
  #isEvent = false;
  #isOut = false;
  /** The one answer, or the last event that answers. */
  #said: Buffer | undefined;
  /** Of that, what the digest is of. */
  #part: Buffer | undefined;
  /** Of an answer that goes through in parts. */
  #sha256: Hash | undefined;

  /** What of the answer is wanted beside its digest. */
  want(wanted: Wanted | undefined): void {
    this.#wanted = wanted;
    this.#content = wanted?.hold?.();
  }

  /** From now on what goes out is put into the client's words elsewhere, in this way. */
  translate(inWords: InWords): void {
    this.#inWords = inWords;
  }

  /** What the answer is written in. */
  writtenIn(written: Written): void {
    this.#written = written;
  }

  /** The client gets something else, which is not known here. */
  leaveOut(): void {
    this.#isOut = true;
  }

  /** What the digest of the whole answer is of, where somebody has found that already. */
  seen(part: Buffer | undefined): void {
    this.#part = part;
  }

  whole(body: Buffer): void {
    this.#said = body;
  }

  /** The next part of an answer that is not there as a whole. */
  part(bytes: Buffer): void {
    if (this.#said !== undefined) return;
    this.#sha256 ??= createHash("sha256");
    this.#sha256.update(bytes);
    this.#content?.add(bytes);
  }

  /** The next event of a stream, without an answer in it unless that is said. */
  event(data: Buffer, answers = false): void {
    if (answers) {
      this.#said = data;
      this.#isEvent = true;
    }
    if (this.#content === undefined) return;
    const words = this.#words(data, true);
    if (words === undefined) this.#content.pass(data.length);
    for (const each of words ?? []) {
      this.#content.add(each);
      this.#content.add(newline);
    }
  }

  /** So much went by unread. */
  passed(bytes: number): void {
    this.#content?.pass(bytes);
  }

  /** What is to be on record of it, once it is out. */
  end({ a2a, method, calledBy }: CallHead): Recorded {
    if (this.#isOut) return {};
    const said = this.#said && this.#words(this.#said, this.#isEvent)?.at(-1);
    if (!this.#isEvent) this.#note(said);
    const path = `/${a2a === undefined ? "mcp" : "a2a"}/${calledBy ?? method}`;
    const hasAnswer = this.#sha256 !== undefined || (this.#said !== undefined && this.#said.length > 0);
    const captured = hasAnswer ? this.#wanted?.captures.of({ path, body: said }) : undefined;
    const resultHash = this.#hashOf(said);
    return { ...(resultHash !== undefined && { resultHash }), ...(captured !== undefined && { captured }) };
  }

  /** What was kept of what was said, in base64, and the bytes of it all; lets go of it. */
  takeContent(): { readonly data: string; readonly bytes: number } | undefined {
    const content = this.#content;
    this.#content = undefined;
    return content?.take();
  }

  /** Of a whole answer in the client's words; where these are not known, how large it was. */
  #note(said: Buffer | undefined): void {
    if (said !== undefined) this.#content?.add(said);
    else if (this.#said !== undefined) this.#content?.pass(this.#said.length);
  }

  #hashOf(said: Buffer | undefined): string | undefined {
    if (said === undefined) return this.#sha256?.digest("hex");
    return said.length === 0 ? undefined : hash("sha256", this.#part ?? answeredPart(said), "hex");
  }

  /** Undefined where it can't be said in the client's words, or is too large to be said in them once more. */
  #words(data: Buffer, isEvent: boolean): readonly Buffer[] | undefined {
    if (this.#inWords === undefined || data.length === 0) return [data];
    try {
      return this.#inWords(data, this.#written, isEvent);
    } catch {
      return undefined;
    }
  }
}

const newline = Buffer.from("\n");
