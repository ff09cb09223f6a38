import { setImmediate as nextTurn } from "node:timers/promises";
import { Fault } from "@sluice/contracts";

/** Servers that did not answer in time, or not at all, lately: until when they are not waited for, by what names them. */
export type Late = Map<string, number>;

/** How long one server may hold up what is gathered from several; one that was late a moment ago not so long again. */
export const gatherMs = 10_000;
const lateAgainMs = 100;
const lateForMs = 30_000;
/** The same for whose a name is, once some server is known to have it. */
const hurryMs = 1_000;
const failedForMs = 5_000;

export interface Asked<T> {
  readonly server: string;
  readonly answer: Promise<T>;
}

/** What is looked for among the answers. */
interface Sought<T> {
  readonly has: (answer: T) => boolean;
  /** Whether no other answer can change the outcome any more. */
  readonly isCertain: (answers: ReadonlyMap<string, T>) => boolean;
}

/** Waits for what several servers of a tenant are asked at the same time. */
export class Survey {
  readonly #late: Late;
  readonly #tenant: string;

  constructor(late: Late, tenant: string) {
    this.#late = late;
    this.#tenant = tenant;
  }

  /** The answer of one of them. @throws Fault where it comes too late for the others. */
  async inTime<T>({ server, answer }: Asked<T>): Promise<T> {
    const name = `${this.#tenant}\0${server}`;
    answer.then(
      () => this.#late.delete(name),
      () => {},
    );
    const timeout = Promise.withResolvers<never>();
    const giveUp = () => {
      this.#late.set(name, Date.now() + lateForMs);
      timeout.reject(new Fault("upstream_timeout", `the server '${server}' did not answer in time`));
    };
    const timer = setTimeout(giveUp, this.#isLate(name) ? lateAgainMs : gatherMs);
    return await Promise.race([answer, timeout.promise]).finally(() => clearTimeout(timer));
  }

  /**
   * The answers that are there when it is known who has what is looked for: at once where that is certain, else soon after
   * the first that has it; servers that failed lately are not waited for. @throws what the last one failed with, where
   * none answers.
   */
  async answered<T>(all: readonly Asked<T>[], { has, isCertain }: Sought<T>): Promise<ReadonlyMap<string, T>> {
    const answers = new Map<string, T>();
    const enough = Promise.withResolvers<void>();
    const timers = [setTimeout(enough.resolve, gatherMs)];
    let failure: unknown = new Fault("upstream_timeout", "no server answered in time");
    const waitedFor = all.map(async ({ server, answer }) => {
      const name = this.#nameOf(server);
      const over = answer.then(
        (given) => {
          this.#late.delete(name);
          answers.set(server, given);
          if (isCertain(answers)) enough.resolve();
          else if (has(given)) timers.push(setTimeout(enough.resolve, hurryMs));
        },
        (error: unknown) => {
          failure = error;
          this.#late.set(name, Date.now() + failedForMs);
        },
      );
      // What is kept is there in a moment.
      await (this.#isLate(name) ? Promise.race([over, nextTurn()]) : over);
    });
    await Promise.race([Promise.all(waitedFor), enough.promise]);
    for (const timer of timers) clearTimeout(timer);
    if (answers.size === 0) throw failure;
    if (!isCertain(answers)) this.#mark(all.filter(({ server }) => !answers.has(server)));
    return new Map(answers);
  }

  #mark(absent: readonly Asked<unknown>[]): void {
    for (const name of absent.map(({ server }) => this.#nameOf(server)))
      if (!this.#isLate(name)) this.#late.set(name, Date.now() + lateForMs);
  }

  /** Names are waited for in another way than everything else: who is late for them may be in time for that. */
  #nameOf(server: string): string {
    return `${this.#tenant}\0${server}\0names`;
  }

  #isLate(name: string): boolean {
    return (this.#late.get(name) ?? 0) > Date.now();
  }
}
