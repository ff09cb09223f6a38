import type { Secrets } from "@sluice/secrets";
import type { Destination } from "@sluice/contracts";
import type { Format } from "../formats/format.ts";

/** One record as its destination gets it. */
export interface Written {
  /** The leaf in the log. */
  readonly index: number;
  /** What kind of record it is, and whether it tells of something that was refused or failed. */
  readonly type: string;
  readonly isAlarming: boolean;
  readonly at: Date;
  /** A line, by the destination's format. */
  readonly text: string;
}

/** Some records of one log, in its order; never none. */
export interface Batch {
  readonly log: string;
  readonly records: readonly [Written, ...Written[]];
}

export function lastOf(records: Batch["records"]): Written {
  return records.at(-1) ?? records[0];
}

/** One destination. */
export interface Sink {
  /**
   * Resolves when the destination has the batch for good, as far as it can tell.
   * @throws Refusal where it will not take it later either, Away where it may
   */
  send(batch: Batch, signal: AbortSignal): Promise<void>;
}

/** The destination does not want what it was given. The message says no address and no secret. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

/** The destination can't take anything now. The message says no address and no secret. */
export class Away extends Error {
  override readonly name = "Away";
  /** As the destination asked. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs?: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a sink gets to work with. */
export interface SinkContext {
  readonly secrets: Pick<Secrets, "value" | "again">;
  readonly format: Format;
  readonly log: string;
  /** Below which file destinations write; absent where they may not. */
  readonly fileDir: string | undefined;
  /** PEM: who may have issued the certificates of destinations beside the well-known authorities. */
  readonly ca: string | undefined;
}

export type SinkOf<Type extends Destination["type"]> = Extract<Destination, { type: Type }>;

/** The name of what went wrong, for logs and health: of errors of the system their code. */
export function reasonOf(error: unknown): string {
  if (error instanceof Away || error instanceof Refusal) return error.message;
  const { name, code } = error as { name?: string; code?: string };
  if (name === "TimeoutError") return "it did not answer in time";
  return typeof code === "string" ? code : (name ?? "unknown");
}
