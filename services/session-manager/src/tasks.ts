import { randomUUID } from "node:crypto";
import { Fault, type TaskWatched, type TaskWatchChange } from "@sluice/contracts";
import type { Found, NameClaim, OwnName, Registration } from "./task-names.ts";
import type { TaskPage, TaskQuestion } from "./task-list.ts";
import type { Kept, PostgresTasks } from "./tasks-postgres.ts";
import type { RedisTasks } from "./tasks-redis.ts";
import type { TaskWriter } from "./task-writer.ts";

/** Whose A2A tasks and contexts are. What can be neither known nor kept rejects. */
export interface Tasks {
  /** What is found for each claim, in order: unknown and another's are found in the same way (A22). */
  find(claims: readonly NameClaim[]): Promise<readonly Found[]>;
  /** Keeps whose it is; false where something of it is another caller's. */
  register(registration: Registration): Promise<boolean>;
  watch(change: TaskWatchChange): Promise<TaskWatched>;
  list(question: TaskQuestion): Promise<TaskPage>;
}

export interface KeptTasksParts {
  readonly redis: RedisTasks;
  readonly postgres: PostgresTasks;
  readonly writer: TaskWriter;
}

/**
 * Redis answers for what it knows. What it does not know Postgres decides, before anybody is told, so that a flushed Redis gives
 * nothing away; while Postgres is away new names are kept by Redis and in line here, each enough to bring them to Postgres.
 */
export class KeptTasks implements Tasks {
  readonly #redis: RedisTasks;
  readonly #postgres: PostgresTasks;
  readonly #writer: TaskWriter;

  constructor({ redis, postgres, writer }: KeptTasksParts) {
    this.#redis = redis;
    this.#postgres = postgres;
    this.#writer = writer;
  }

  async find(claims: readonly NameClaim[]): Promise<readonly Found[]> {
    if (claims.length === 0) return [];
    const here: readonly (OwnName | undefined)[] = await this.#askRedis((redis) => redis.find(claims)).then(
      (found) => found ?? [],
    );
    const missing = claims.filter((_, index) => here[index] === undefined);
    const asked = missing.length === 0 ? [] : await this.#postgres.find(missing);
    for (const [index, found] of asked.entries()) {
      const claim = missing[index];
      if (found.own !== undefined && claim !== undefined) this.#learn(claim, found.own);
    }
    let at = 0;
    return claims.map((_, index) => {
      const own = here[index];
      return own === undefined ? (asked[at++] as Found) : { own };
    });
  }

  async register(registration: Registration): Promise<boolean> {
    const known = await this.#askRedis((redis) => redis.update(registration));
    if (known === "other") return false;
    if (known === "same") return true;
    if (known === "kept") {
      this.#writer.storeLater({ registration, isInRedis: true });
      return true;
    }
    let kept: Kept | undefined;
    try {
      kept = await this.#writer.store(registration, known !== undefined);
    } catch (error) {
      if (known === undefined) throw error;
      return this.#claim(registration);
    }
    if (kept === undefined) return false;
    const { tenant, identity, server } = registration;
    if (known === undefined) this.#redis.outdate(registration);
    else
      await this.#askRedis((redis) =>
        Promise.all(
          (kept ?? []).map(({ kind, client, own }) =>
            redis.learn({ tenant, identity, server, kind, name: client }, own),
          ),
        ),
      );
    return true;
  }

  async watch(change: TaskWatchChange): Promise<TaskWatched> {
    const here = await this.#askRedis((redis) => redis.watch(change));
    if (here === true) {
      const { expected: _, ...rest } = change;
      this.#writer.storeLater({ watch: rest });
      return { ok: true };
    }
    const result = here ?? (await this.#postgres.watch(change));
    const { tenant, server, task: upstream } = change;
    if (here === undefined) await this.#askRedis((redis) => redis.forget([{ tenant, server, kind: "task", upstream }]));
    return typeof result === "boolean" ? { ok: result } : { ok: false, watch: result };
  }

  list(question: TaskQuestion): Promise<TaskPage> {
    return this.#postgres.list(question);
  }

  /** Postgres is away: who is first here is first. */
  async #claim(registration: Registration): Promise<boolean> {
    if (this.#writer.isFull) throw new Fault("unavailable", "too many tasks wait to be stored");
    const id = randomUUID();
    const claimed = await this.#redis.claim(registration, id);
    if (claimed === "full") throw new Fault("unavailable", "too many tasks wait to be stored");
    if (claimed === "other") return false;
    this.#writer.storeLater({ registration, id });
    return true;
  }

  /** Undefined where Redis is away. */
  async #askRedis<Answer>(question: (redis: RedisTasks) => Promise<Answer>): Promise<Answer | undefined> {
    if (!this.#redis.isReady) return undefined;
    try {
      return await question(this.#redis);
    } catch {
      return undefined;
    }
  }

  #learn(claim: NameClaim, own: OwnName): void {
    void this.#askRedis((redis) => redis.learn(claim, own));
  }
}
