import { setTimeout as delay } from "node:timers/promises";
import { Fault, type TaskWatchChange } from "@sluice/contracts";
import { isFaultOfTheData } from "@sluice/runtime/postgres";
import type { Registration } from "./task-names.ts";
import type { Kept, PostgresTasks } from "./tasks-postgres.ts";

export interface TaskWriterOptions {
  /** What may wait; beyond it nothing new is taken. */
  readonly mostWaiting: number;
  /** Told what nobody need keep elsewhere any more. */
  readonly onStored: (ids: readonly string[]) => void;
  /** Told of what somebody else had already, unknown to where it was kept until now. */
  readonly onForeign: (registration: Registration) => void;
  /** Told that something can never be stored, and why. */
  readonly onRefused: (reason: string) => void;
}

interface Waiting {
  readonly registration?: Registration;
  readonly watch?: TaskWatchChange;
  /** Redis has it, or gets it before anybody is told. */
  readonly isInRedis?: boolean;
  /** Under which it is kept elsewhere until it is stored. */
  readonly id?: string;
  readonly resolve?: (kept: Kept | undefined) => void;
  readonly reject?: (error: unknown) => void;
}

const atOnce = 200;
const retryMs = 250;

/** Writes to Postgres in order, what arrives together in one transaction; what need not be waited for is tried until it is stored. */
export class TaskWriter implements AsyncDisposable {
  readonly #postgres: PostgresTasks;
  readonly #options: TaskWriterOptions;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #isAway = false;
  readonly #stopping = new AbortController();

  constructor(postgres: PostgresTasks, options: TaskWriterOptions) {
    this.#postgres = postgres;
    this.#options = options;
  }

  /** Whether Postgres did not take the last that was written. */
  get isAway(): boolean {
    return this.#isAway;
  }

  get size(): number {
    return this.#waiting.length;
  }

  get isFull(): boolean {
    return this.#waiting.length >= this.#options.mostWaiting;
  }

  /** Whether Postgres is there; where it is again, it is asked again. */
  async probe(): Promise<boolean> {
    const isThere = await this.#postgres.check().then(
      () => true,
      () => false,
    );
    if (this.#waiting.length === 0) this.#isAway = !isThere;
    return isThere;
  }

  /** Resolves to what is kept once it is stored. @throws where Postgres is away: then it is not stored later either */
  store(registration: Registration, isInRedis: boolean): Promise<Kept | undefined> {
    if (this.#isAway) return Promise.reject(new Fault("unavailable", "tasks can't be stored now"));
    const { promise, resolve, reject } = Promise.withResolvers<Kept | undefined>();
    this.#add({ registration, isInRedis, resolve, reject });
    return promise;
  }

  /** @throws Fault `unavailable` where too much waits */
  storeLater(what: Pick<Waiting, "registration" | "watch" | "id" | "isInRedis">): void {
    this.#add(what);
  }

  /** Stores what waits, as far as Postgres is there. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#writing;
    if (this.#waiting.length > 0) await this.#write();
  }

  #add(waiting: Waiting): void {
    if (this.isFull) throw new Fault("unavailable", "too many tasks wait to be stored");
    this.#waiting.push(waiting);
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    // What comes in the same turn goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, atOnce);
      try {
        await this.#storeAll(batch);
        this.#isAway = false;
        this.#waiting.splice(0, batch.length);
      } catch (error) {
        this.#isAway = true;
        const later = this.#waiting.filter(({ reject }) => reject === undefined);
        for (const { reject } of this.#waiting) reject?.(error);
        this.#waiting = later;
        if (this.#stopping.signal.aborted) break;
        await delay(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      }
    }
    // Before anybody whose promise was settled above goes on: what that one adds must find nobody writing.
    this.#writing = undefined;
  }

  async #storeAll(batch: readonly Waiting[]): Promise<void> {
    const registrations = batch.filter((one) => one.registration !== undefined);
    try {
      await this.#register(registrations);
    } catch (error) {
      if (!isFaultOfTheData(error)) throw error;
      for (const one of registrations) await this.#register([one]).catch((reason) => this.#refuse(one, reason));
    }
    for (const { watch } of batch) if (watch !== undefined) await this.#postgres.setWatch(watch);
    const ids = batch.flatMap(({ id }) => id ?? []);
    if (ids.length > 0) this.#options.onStored(ids);
  }

  async #register(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    const isInRedis = batch.every((one) => one.isInRedis === true);
    const registrations = batch.flatMap(({ registration }) => registration ?? []);
    const kept = await this.#postgres.register(registrations, isInRedis);
    for (const [index, { registration, resolve }] of batch.entries()) {
      if (resolve !== undefined) resolve(kept[index]);
      else if (kept[index] === undefined && registration !== undefined) this.#options.onForeign(registration);
    }
  }

  #refuse({ reject }: Waiting, error: unknown): void {
    if (!isFaultOfTheData(error)) throw error;
    this.#options.onRefused(`the database refuses it: ${error.code}`);
    reject?.(error);
  }
}
