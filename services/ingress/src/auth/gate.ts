import { Fault } from "@sluice/contracts";

const mostAtOnce = 64;
/** After a failure nobody waits for the next. */
const pauseMs = 1_000;

/** Questions to one server: so many at once, and none for a moment after one failed. */
export class Gate {
  readonly #clock: () => number;
  #underWay = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #failure: unknown;

  constructor(clock = () => performance.now()) {
    this.#clock = clock;
  }

  /** @throws Fault `overloaded`, or what the question throws or the last one threw a moment ago */
  async pass<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    if (this.#clock() - this.#failedAt < pauseMs) throw this.#failure;
    if (this.#underWay >= mostAtOnce)
      throw new Fault("overloaded", "too many credentials are being verified at the moment");
    this.#underWay++;
    try {
      return await ask();
    } catch (error) {
      this.#failedAt = this.#clock();
      this.#failure = error;
      throw error;
    } finally {
      this.#underWay--;
    }
  }
}
