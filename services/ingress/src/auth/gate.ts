import { Fault } from "@sluice/contracts";

const mostAtOnce = 64;
/** Of these, what those may take up that were never good before: anybody can make up such. */
const mostUnknownAtOnce = 48;
const mostOutages = 3;
/** After several failures in a row nobody waits for the next. */
const pauseMs = 1_000;

/** The server could not be reached, did not answer in time, or has an error of its own, whatever it was asked. */
export class Outage extends Fault {
  constructor(message: string) {
    super("upstream_unavailable", message);
  }
}

/** Whether the last answers were all none. */
class Outages {
  #inARow = 0;
  #lastAt = Number.NEGATIVE_INFINITY;
  #last: Outage | undefined;

  add(outage: Outage, now: number): void {
    this.#inARow++;
    this.#lastAt = now;
    this.#last = outage;
  }

  end(): void {
    this.#inARow = 0;
    this.#last = undefined;
  }

  /** @throws Outage the last one, while there is a pause */
  refuse(now: number): void {
    if (this.#last !== undefined && this.#inARow >= mostOutages && now - this.#lastAt < pauseMs) throw this.#last;
  }
}

/**
 * Questions to one server: so many at once, and none for a moment where it gives no answers. Credentials that were good
 * before have places of their own, wait for one in their turn, and are held up by failures of their own alone.
 */
export class Gate {
  readonly #clock: () => number;
  readonly #waiting: (() => void)[] = [];
  readonly #outages = new Outages();
  readonly #outagesOfKnown = new Outages();
  #underWay = 0;
  #unknown = 0;

  constructor(clock = () => performance.now()) {
    this.#clock = clock;
  }

  /** @throws Fault `overloaded` for an unknown one, else what the question throws or the last ones threw a moment ago */
  async pass<Answer>(isKnown: boolean, ask: () => Promise<Answer>): Promise<Answer> {
    if (isKnown) await this.#place();
    else this.#unknownPlace();
    try {
      (isKnown ? this.#outagesOfKnown : this.#outages).refuse(this.#clock());
      return await this.#watch(isKnown, ask);
    } finally {
      if (!isKnown) this.#unknown--;
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay--;
      else next();
    }
  }

  async #place(): Promise<void> {
    if (this.#underWay < mostAtOnce) this.#underWay++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #unknownPlace(): void {
    if (this.#underWay >= mostAtOnce || this.#unknown >= mostUnknownAtOnce)
      throw new Fault("overloaded", "too many credentials are being verified at the moment");
    this.#underWay++;
    this.#unknown++;
  }

  async #watch<Answer>(isKnown: boolean, ask: () => Promise<Answer>): Promise<Answer> {
    try {
      const answer = await ask();
      this.#answered();
      return answer;
    } catch (error) {
      if (error instanceof Outage) this.#failed(isKnown, error);
      else this.#answered();
      throw error;
    }
  }

  #failed(isKnown: boolean, outage: Outage): void {
    const now = this.#clock();
    this.#outages.add(outage, now);
    if (isKnown) this.#outagesOfKnown.add(outage, now);
  }

  #answered(): void {
    this.#outages.end();
    this.#outagesOfKnown.end();
  }
}
