import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type pg from "pg";

const migrations = join(import.meta.dirname, "../../../services/audit/migrations");
const hash = (...parts: readonly (string | Buffer)[]) =>
  parts.reduce((sum, part) => sum.update(part), createHash("sha256")).digest();

type Columns = Readonly<Record<string, unknown>>;

export interface StoredCall {
  readonly tenant?: string;
  readonly agent?: string;
  readonly user?: string;
  readonly owner?: string;
  /** Columns of the event that differ from those of any call. */
  readonly intent?: Columns;
  /** null: there is none. */
  readonly outcome?: Columns | null;
  readonly endedAt?: Date;
}

/** Puts events into the tables of the trail by their columns, for tests of what reads them. The tree is not made. */
export class StoredTrail {
  readonly #client: Pick<pg.Client, "query">;
  #leaves = 1_000_000;

  constructor(client: Pick<pg.Client, "query">) {
    this.#client = client;
  }

  /** Makes the tables in an empty database. */
  async create(): Promise<void> {
    for (const name of (await readdir(migrations)).toSorted())
      await this.#client.query(await readFile(join(migrations, name), "utf8"));
  }

  async event(kind: string, columns: Columns): Promise<void> {
    const id = String(columns["event_id"]);
    const own = {
      leaf_index: this.#leaves++,
      leaf_hash: hash(id),
      schema: 1,
      kind,
      stored_at: new Date(),
      emitter: "i1",
    };
    const row: Columns = { ...own, ...columns };
    const names = Object.keys(row).map((name) => `"${name}"`);
    const values = names.map((_name, index) => `$${index + 1}`);
    await this.#client.query(
      `insert into audit_events (${names.join(", ")}) values (${values.join(", ")})`,
      Object.values(row),
    );
  }

  /** The commitment of a value, stored with it. */
  async person(log: string, value: string): Promise<Buffer> {
    const salt = hash(log, "\0", value);
    const commitment = hash(salt, value);
    await this.#client.query("insert into audit_subjects values ($1, $2, $3, $4) on conflict do nothing", [
      commitment,
      log,
      value,
      salt,
    ]);
    return commitment;
  }

  /** Captured fields of an event. */
  async captured(eventId: string, fields: unknown): Promise<void> {
    await this.#client.query("insert into audit_captured values ($1, $2, $3)", [
      eventId,
      hash("salt"),
      JSON.stringify(fields),
    ]);
  }

  /** An attempt with its intent and, unless said, its outcome. */
  async call(id: string, at: Date, options: StoredCall = {}): Promise<void> {
    const { tenant = "acme", agent = "sentinel-1", user, owner, intent, outcome = {}, endedAt = at } = options;
    const of = { log: tenant, tenant, call: id };
    await this.event("intent", {
      ...of,
      event_id: `${id}.i`,
      at,
      agent_id: await this.person(tenant, agent),
      ...(user !== undefined && { auth_user: await this.person(tenant, user) }),
      ...(owner !== undefined && { agent_owner: await this.person(tenant, owner) }),
      ...{ auth: "apiKey", label: "mcp_proxy", protocol: "mcp", era: "modern", http: "POST", path: "/mcp" },
      ...{ method: "tools/call", target: "echo", server: "main", trace: `trace-${id}`, bytes: 10 },
      ...intent,
    });
    if (outcome === null) return;
    const said = { status: 200, decision: "allow", duration_ms: 1.5, rule: "accessRules[0]", bytes: 20, ...outcome };
    await this.event("outcome", { ...of, event_id: `${id}.o`, at: endedAt, ...said });
  }
}
