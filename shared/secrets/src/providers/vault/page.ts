import type { Told, Watch } from "../../provider.ts";
import { pauseMs, renewAfter, soonestMs, spread, tooLittle } from "./pauses.ts";
import type { VaultSession } from "./session.ts";
import type { VaultAnswer } from "./vault-http.ts";
import { VaultProblem } from "./vault-problem.ts";

export interface PageOptions {
  readonly path: string;
  readonly session: VaultSession;
  readonly refreshMs: number;
  readonly failed: (operation: "read" | "renew", problem: VaultProblem) => void;
}

interface Lease {
  readonly id: string;
  readonly ms: number;
  readonly renewable: boolean;
}

const mostPauseMs = 30_000;

/**
 * What is at one path, read once for all references to it: every `refreshMs`, since Vault tells of no change, and what is
 * leased when its lease ends and can't be renewed. While Vault is away, what was read stays.
 */
export class VaultPage implements Disposable {
  readonly #options: PageOptions;
  readonly #readers = new Map<Told, string>();
  readonly #replaced: Disposable;
  #data: Readonly<Record<string, unknown>> | undefined;
  #problem: VaultProblem | undefined;
  #lease: Lease | undefined;
  #failures = 0;
  #reading = false;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  constructor(options: PageOptions) {
    this.#options = options;
    this.#replaced = options.session.onReplaced(() => this.#lease !== undefined && this.again());
    this.again();
  }

  /** Tells the value of one key, now and whenever it changes. */
  follow(key: string, told: Told): Watch {
    this.#readers.set(told, key);
    if (this.#data !== undefined && this.#lacks(key)) this.again();
    else if (this.#data !== undefined || this.#problem !== undefined) this.#tell(told, key);
    return { again: () => this.again(), [Symbol.dispose]: () => void this.#readers.delete(told) };
  }

  get isUnused(): boolean {
    return this.#readers.size === 0;
  }

  again(): void {
    void this.#once(() => this.#read());
  }

  async #once(work: () => Promise<number>): Promise<void> {
    if (this.#reading || this.#over) return;
    this.#reading = true;
    clearTimeout(this.#timer);
    const nextMs = await work();
    this.#reading = false;
    if (this.#over) return;
    const next = this.#lease?.renewable === true ? () => this.#renew(this.#lease as Lease) : () => this.#read();
    this.#timer = setTimeout(() => void this.#once(next), Math.max(soonestMs, nextMs)).unref();
  }

  /** Resolves with how long to wait. */
  async #read(): Promise<number> {
    const { path, session, refreshMs, failed } = this.#options;
    try {
      const answer = await session.ask({ method: "GET", path });
      this.#data = dataOf(answer);
      this.#problem = undefined;
      this.#lease = leaseOf(answer);
      if (this.#lease !== undefined) return this.#lease.ms * renewAfter;
      if ([...this.#readers.values()].some((key) => this.#lacks(key))) return this.#soon();
      this.#failures = 0;
      return spread(refreshMs);
    } catch (error) {
      this.#problem = withAdvice(VaultProblem.of(error), path);
      this.#lease = undefined;
      failed("read", this.#problem);
      return this.#soon();
    } finally {
      if (!this.#over) for (const [told, key] of this.#readers) this.#tell(told, key);
    }
  }

  /** What is not there may come; then nobody should have to wait for the next refresh. */
  #soon(): number {
    return pauseMs(++this.#failures, Math.min(mostPauseMs, this.#options.refreshMs));
  }

  async #renew(lease: Lease): Promise<number> {
    const { session, failed } = this.#options;
    try {
      const body = { lease_id: lease.id, increment: lease.ms / 1000 };
      const renewed = leaseOf(await session.ask({ method: "PUT", path: "sys/leases/renew", body }));
      if (renewed !== undefined && renewed.ms > lease.ms * tooLittle) return renewed.ms * renewAfter;
    } catch (error) {
      failed("renew", VaultProblem.of(error));
    }
    return await this.#read();
  }

  #lacks(key: string): boolean {
    return !Object.hasOwn(this.#data ?? {}, key);
  }

  #tell(told: Told, key: string): void {
    if (this.#problem !== undefined) return told.problem(this.#problem.message, this.#problem.isTemporary);
    const value = this.#data?.[key];
    if (this.#lacks(key)) told.problem("what is at this path has no such key");
    else if (typeof value !== "string") told.problem("what is under this key is no string");
    else if (value.trim() === "") told.problem("what is under this key is empty");
    else told.value(value);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#replaced[Symbol.dispose]();
    clearTimeout(this.#timer);
  }
}

/** KV version 2 wraps what version 1 answers, and says which version of the secret it is. */
function dataOf({ data }: VaultAnswer): Readonly<Record<string, unknown>> {
  const outer = objectOf(data);
  if (outer === undefined) throw new VaultProblem("Vault's answer holds no secret", { isTemporary: false });
  const isVersion2 = typeof objectOf(outer["metadata"])?.["version"] === "number" && "data" in outer;
  return (isVersion2 ? objectOf(outer["data"]) : outer) ?? {};
}

function leaseOf({ lease_id, lease_duration, renewable }: VaultAnswer): Lease | undefined {
  if (typeof lease_id !== "string" || lease_id === "") return undefined;
  if (typeof lease_duration !== "number" || lease_duration <= 0) return undefined;
  return { id: lease_id, ms: lease_duration * 1000, renewable: renewable === true };
}

function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function withAdvice(problem: VaultProblem, path: string): VaultProblem {
  if (problem.status !== 404 || path.includes("/data/")) return problem;
  const advice = "in KV version 2 data follows the mount, as in secret/data/acme";
  return new VaultProblem(`${problem.message}; ${advice}`, { status: 404, isTemporary: false });
}
