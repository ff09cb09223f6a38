import { randomBytes } from "node:crypto";
import type { TestHouse } from "@sluice/testing";

/** What a client knows of an attempt that it made: its trace names it in the audit trail. */
export interface Attempt {
  readonly title: string;
  readonly trace: string;
  /** How many messages it was. */
  readonly messages: number;
  /** What the client was told; 499 where it left before. */
  readonly status: number;
}

/** An attempt as the audit trail has it. */
export interface Recorded {
  readonly trace: string;
  readonly call: string;
  readonly path: string;
  readonly method: string;
  readonly server: string;
  readonly status: number | null;
  readonly fault: string | null;
  readonly state: string;
  readonly is_error: boolean | null;
  readonly events: string | null;
  readonly client_name: string | null;
  readonly limit_policy: string | null;
  readonly limit_left: string | null;
  readonly credential: string | null;
}

/** A client's own book of what it did. */
export class AttemptLedger {
  readonly attempts: Attempt[] = [];

  /** Makes an attempt with the header field that names it. */
  async attempt(
    title: string,
    make: (headers: Readonly<Record<string, string>>) => Promise<number>,
    messages = 1,
  ): Promise<string> {
    const trace = randomBytes(16).toString("hex");
    const status = await make({ traceparent: `00-${trace}-${randomBytes(8).toString("hex")}-01` });
    this.attempts.push({ title, trace, messages, status });
    return trace;
  }
}

/** All attempts in the trail, by trace. */
export async function recordedAttempts(house: TestHouse): Promise<Map<string, Recorded[]>> {
  return Map.groupBy(
    await house.query<Recorded & Record<string, unknown>>("select * from audit_calls"),
    ({ trace }) => trace,
  );
}

/** An emitter's row of numbers. */
export interface Emitter {
  readonly emitter: string;
  readonly service: string | null;
  readonly numbers: number;
  readonly last: number;
  readonly distinct: number;
  /** The number of its last word, where it has said that. */
  readonly stopped: number | null;
}

export async function emitters(house: TestHouse): Promise<readonly Emitter[]> {
  return await house.query<Emitter & Record<string, unknown>>(
    `select emitter, min(service) as service, count(seq)::int as numbers, max(seq)::int as last,
            count(distinct seq)::int as distinct, max(seq) filter (where word = 'stopped')::int as stopped
     from audit_events group by emitter`,
  );
}
