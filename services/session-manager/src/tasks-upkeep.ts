import type { Log } from "@sluice/telemetry";
import type { PostgresTasks } from "./tasks-postgres.ts";
import type { RedisTasks } from "./tasks-redis.ts";
import type { TaskWriter } from "./task-writer.ts";

export interface UpkeepOptions {
  readonly redis: RedisTasks;
  readonly postgres: PostgresTasks;
  readonly writer: TaskWriter;
  readonly log: Log;
  readonly ttlSeconds: number;
  readonly mostPerCaller: number;
}

const lookEveryMs = 1_000;
const forgetEveryMs = 60_000;
const forgottenAtOnce = 1_000;

/** What has to be done beside answering: seeing whether Postgres is there, bringing it what waits, and forgetting. */
export class TasksUpkeep implements Disposable {
  readonly #options: UpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #isThere = false;
  #isStopped = false;
  #forgotAt = 0;
  #isForgetting = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    void this.#round();
  }

  /** Whether Postgres answered the last time. */
  get isPostgresThere(): boolean {
    return this.#isThere;
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    const { log } = this.#options;
    const wasThere = this.#isThere;
    try {
      await this.#look();
    } catch (error) {
      log.debug({ reason: error instanceof Error ? error.message : "unknown" }, "tasks could not be kept up");
    }
    if (wasThere && !this.#isThere) log.warn("postgres does not answer: tasks are known and kept by redis alone");
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#round(), lookEveryMs).unref();
  }

  async #look(): Promise<void> {
    const { redis, writer } = this.#options;
    this.#isThere = await writer.probe();
    await redis.dropOutdated();
    if (!this.#isThere) return;
    if (redis.isReady && writer.size === 0)
      for (const [id, registration] of await redis.unstored()) writer.storeLater({ registration, id });
    if (!this.#isForgetting && Date.now() - this.#forgotAt >= forgetEveryMs) void this.#forget();
  }

  /** Goes on at the next look while there is more, and where it fails not before its time; no look waits for it. */
  async #forget(): Promise<void> {
    const { redis, postgres, log, ttlSeconds, mostPerCaller } = this.#options;
    this.#isForgetting = true;
    this.#forgotAt = Date.now();
    try {
      const names = await postgres.forget({ ttlSeconds, mostPerCaller, atOnce: forgottenAtOnce });
      if (names.length >= forgottenAtOnce) this.#forgotAt = 0;
      if (redis.isReady) await redis.forget(names);
    } catch (error) {
      log.warn({ reason: error instanceof Error ? error.message : "unknown" }, "old tasks could not be forgotten");
    } finally {
      this.#isForgetting = false;
    }
  }
}
