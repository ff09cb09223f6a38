/** Conditions of a query that hold together, with their values. */
export class Conditions {
  readonly values: unknown[] = [];
  readonly #texts: string[] = [];

  /** `text` has a `?` for each value. */
  add(text: string, ...values: readonly unknown[]): void {
    let index = 0;
    this.#texts.push(text.replaceAll("?", () => this.value(values[index++])));
  }

  /** The same where there is a value. */
  addIf(text: string, value: unknown): void {
    if (value !== undefined) this.add(text, value);
  }

  /** How a value is written in the query. */
  value(value: unknown): string {
    return `$${this.values.push(value)}`;
  }

  get text(): string {
    return this.#texts.map((text) => `(${text})`).join(" and ");
  }
}
