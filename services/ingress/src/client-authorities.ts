/** The authorities whose certificates agents are asked for, all tenants' together, in PEM. */
export class ClientAuthorities {
  #pems: readonly string[] = [];
  #onChange: () => void = () => {};

  get pems(): readonly string[] {
    return this.#pems;
  }

  set(pems: readonly string[]): void {
    if (pems.length === this.#pems.length && pems.every((pem) => this.#pems.includes(pem))) return;
    this.#pems = pems;
    this.#onChange();
  }

  onChange(listener: () => void): void {
    this.#onChange = listener;
  }
}
