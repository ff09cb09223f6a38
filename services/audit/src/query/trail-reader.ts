import type { ConnectionOptions } from "node:tls";
import { Fault } from "@sluice/contracts";
import type { DatabaseOptions } from "@sluice/runtime";
import pg, { type ClientBase } from "pg";

const connections = 3;
/** More who wait are told to come again. */
const mostWaiting = 32;
const connectTimeoutMs = 5_000;

/** Lends connections that only read, with a login's own rights. */
export class TrailReader implements AsyncDisposable {
  readonly #pool: pg.Pool;

  constructor({ connectionString, ssl }: DatabaseOptions) {
    this.#pool = new pg.Pool({
      connectionString,
      ssl: ssl as ConnectionOptions | false,
      application_name: "sluice-audit-query",
      options: "-c default_transaction_read_only=on -c statement_timeout=10s",
      max: connections,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
    });
    this.#pool.on("connect", (client) => client.on("error", () => {}));
    this.#pool.on("error", () => {});
  }

  /** @throws Fault `overloaded` where too many wait, `unavailable` where Postgres does not answer; what `work` throws */
  async use<Result>(work: (client: ClientBase) => Promise<Result>): Promise<Result> {
    if (this.#pool.waitingCount >= mostWaiting) throw new Fault("overloaded", "too many read the audit trail now");
    const client = await this.#pool.connect().catch((cause: unknown) => {
      throw new Fault("unavailable", "the audit database does not answer", { cause });
    });
    let failure: Error | undefined;
    try {
      return await work(client);
    } catch (error) {
      if (!(error instanceof Fault)) failure = error as Error;
      throw error;
    } finally {
      client.release(failure);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#pool.end();
  }
}
