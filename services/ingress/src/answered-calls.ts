import type { AuditLog } from "@sluice/bus";
import { deadAfterMs, type Outcome } from "@sluice/contracts";
import type { Streams } from "./streams.ts";

/** By then a replica that died after its answer has been found dead, also where NATS was away for a while meanwhile. */
const keptMs = 6 * deadAfterMs;
const mostKept = 50_000;

interface Answered {
  readonly egress: string;
  readonly endedAt: number;
  readonly outcome: Outcome;
}

/**
 * Calls whose answers came lately from an egress replica that tells how they ended. Where it dies before that, it is told from here:
 * without a number, since most of them are on record, and then nothing is kept of it.
 */
export class AnsweredCalls {
  readonly #audit: AuditLog;
  readonly #streams: Streams;
  /** The oldest first, behind those that are done with. */
  #kept: Answered[] = [];
  #done = 0;

  constructor(audit: AuditLog, streams: Streams) {
    this.#audit = audit;
    this.#streams = streams;
    streams.whenEgressDies((instance) => this.#tell(instance));
  }

  add(egress: string, outcome: Outcome): void {
    const now = performance.now();
    this.#streams.expectEgress(egress);
    this.#kept.push({ egress, endedAt: now, outcome });
    while (this.#isOver(this.#kept[this.#done], now)) this.#done++;
    if (this.#done * 2 < this.#kept.length) return;
    this.#kept = this.#kept.slice(this.#done);
    this.#done = 0;
  }

  #isOver(oldest: Answered | undefined, now: number): boolean {
    if (oldest === undefined) return false;
    return now - oldest.endedAt > keptMs || this.#kept.length - this.#done > mostKept;
  }

  #tell(instance: string): void {
    for (const { egress, outcome } of this.#kept.slice(this.#done)) {
      if (egress !== instance || this.#audit.full) continue;
      this.#audit.put({ event: "outcome", ...outcome });
    }
  }
}
