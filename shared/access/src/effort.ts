/** Steps, or the size of a value in them: a fixed part, and one that grows with the size of the arguments. */
export interface Amount {
  readonly fixed: number;
  readonly perSize: number;
}

/** Characters that count as one value. */
export const charactersPerStep = 16;

/** What the conditions of one decision may take together; most take 40 to 100 ns. */
const mostSteps = 250_000;

export function plus(one: Amount, other: Amount): Amount {
  return { fixed: one.fixed + other.fixed, perSize: one.perSize + other.perSize };
}

export function times({ fixed, perSize }: Amount, factor: number): Amount {
  return { fixed: fixed * factor, perSize: perSize * factor };
}

export function ofText(length: number): Amount {
  return { fixed: 1 + length / charactersPerStep, perSize: 0 };
}

/** What the conditions of one decision may still take: whatever arguments come, no decision holds up others for long. */
export class Effort {
  /** Members and elements in the arguments, at any depth. */
  values = 0;
  /** Characters of texts and names in them. */
  characters = 0;
  #left = mostSteps;

  get isSpent(): boolean {
    return this.#left < 0;
  }

  /** @throws Error where that is more than is left */
  spend({ fixed, perSize }: Amount): void {
    const size = 1 + this.values + this.characters / charactersPerStep;
    this.#left -= fixed + perSize * size;
    if (this.#left < 0)
      throw new Error(`the conditions that look at this call take more than ${mostSteps} steps together`);
  }

  /** For another evaluation that is no decision. */
  restart(): void {
    this.#left = mostSteps;
  }
}
