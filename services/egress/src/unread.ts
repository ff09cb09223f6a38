/** Marks closer together than this are one. */
const markBytes = 256 * 1024;

/** The bytes of a stream that its reader has not read, as far as it said how far it is. */
export class Unread {
  readonly #marks: { readonly last: number; readonly bytes: number }[] = [];
  /** Since the last mark. */
  #pending = 0;
  #marked = 0;

  get bytes(): number {
    return this.#marked + this.#pending;
  }

  /** @param last the number of the last piece that was sent, this one included */
  sent(bytes: number, last: number): void {
    this.#pending += bytes;
    if (this.#pending < markBytes) return;
    this.#marks.push({ last, bytes: this.#pending });
    this.#marked += this.#pending;
    this.#pending = 0;
  }

  read(upTo: number): void {
    const next = this.#marks.findIndex(({ last }) => last > upTo);
    const read = this.#marks.splice(0, next === -1 ? this.#marks.length : next);
    for (const { bytes } of read) this.#marked -= bytes;
  }
}
