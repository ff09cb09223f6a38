import type { TaskView } from "@sluice/a2a";

/** Bounds what the views of all tasks hold together: the largest goes first. */
export class ViewBudget {
  readonly mostBytesEach: number;
  readonly #mostBytes: number;
  readonly #sizes = new Map<TaskView, number>();
  #bytes = 0;

  constructor({ mostBytes, mostBytesEach }: { readonly mostBytes: number; readonly mostBytesEach: number }) {
    this.#mostBytes = mostBytes;
    this.mostBytesEach = mostBytesEach;
  }

  add(view: TaskView): void {
    this.#sizes.set(view, 0);
  }

  changed(view: TaskView): void {
    const before = this.#sizes.get(view);
    if (before === undefined) return;
    this.#sizes.set(view, view.bytes);
    this.#bytes += view.bytes - before;
    while (this.#bytes > this.#mostBytes) this.#dropLargest();
  }

  remove(view: TaskView): void {
    this.#bytes -= this.#sizes.get(view) ?? 0;
    this.#sizes.delete(view);
  }

  #dropLargest(): void {
    let largest: [TaskView, number] | undefined;
    for (const entry of this.#sizes) if (entry[1] > (largest?.[1] ?? 0)) largest = entry;
    if (largest === undefined) return;
    largest[0].drop();
    this.#sizes.set(largest[0], 0);
    this.#bytes -= largest[1];
  }
}
