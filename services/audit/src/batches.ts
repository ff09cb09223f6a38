/** When a batch is ripe: at this weight, or this long after its first item. */
export interface Ripeness {
  readonly weight: number;
  readonly waitMs: number;
}

interface Weighed<Item> {
  readonly item: Item;
  readonly weight: number;
}

/** Gathers what arrives one by one into batches. After `close` what is in hand still comes, and then the end. */
export class Batches<Item> {
  readonly #ripeness: Ripeness;
  #items: Weighed<Item>[] = [];
  #weight = 0;
  #due = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #wake: () => void = () => {};

  constructor(ripeness: Ripeness) {
    this.#ripeness = ripeness;
  }

  add(item: Item, weight: number): void {
    this.#items.push({ item, weight });
    this.#weight += weight;
    if (this.#weight >= this.#ripeness.weight) this.#wake();
    else this.#timer ??= setTimeout(() => this.#ripen(), this.#ripeness.waitMs);
  }

  close(): void {
    this.#closed = true;
    this.#ripen();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item[], void> {
    for (;;) {
      while (!this.#closed && !this.#isRipe) await new Promise<void>((resolve) => (this.#wake = resolve));
      const batch = this.#take();
      if (batch.length > 0) yield batch;
      else if (this.#closed) return;
    }
  }

  get #isRipe(): boolean {
    return this.#weight >= this.#ripeness.weight || (this.#due && this.#items.length > 0);
  }

  #ripen(): void {
    this.#due = true;
    this.#wake();
  }

  #take(): Item[] {
    let weight = 0;
    const end = this.#items.findIndex((entry) => (weight += entry.weight) >= this.#ripeness.weight);
    const taken = end === -1 ? this.#items : this.#items.slice(0, end + 1);
    this.#items = end === -1 ? [] : this.#items.slice(end + 1);
    this.#weight -= weight;
    if (this.#items.length === 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#due = false;
    }
    return taken.map((entry) => entry.item);
  }
}
