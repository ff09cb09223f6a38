import type { StreamState } from "@sluice/bus";
import type { Log } from "@sluice/telemetry";
import type { AuditMetrics } from "./audit-metrics.ts";
import type { Emitters } from "./emitters.ts";
import { newEvent, type NewEvent } from "./event-row.ts";
import type { Events } from "./events-postgres.ts";
import type { OpenCall, OpenCalls } from "./open-calls-postgres.ts";

export interface ReconcilerOptions {
  readonly calls: OpenCalls;
  readonly events: Events;
  readonly emitters: Emitters;
  /** The replica that tells. */
  readonly instance: string;
  readonly metrics: AuditMetrics;
  readonly log: Log;
}

const batchSize = 500;
/** No endpoint's deadline is longer: until then egress may still tell how a call ended whose ingress has stopped in order. */
const longestCallMs = 3_600_000;

/**
 * Says of attempts whose outcome will not come that it is unknown: those whose emitter is gone, once all that was in the stream
 * when that was noticed is stored. An outcome that comes after all still counts.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** By emitter that is gone: the last message of the stream then. */
  readonly #marks = new Map<string, number>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** @param stream as it was before this was called. @throws where the store is away */
  async round(stream: StreamState): Promise<void> {
    const { calls, emitters } = this.#options;
    const open = await calls.look();
    if (open === undefined) return;
    const gone = new Set(open.map(({ emitter }) => emitter).filter((emitter) => emitters.isGone(emitter)));
    for (const emitter of this.#marks.keys()) if (!gone.has(emitter)) this.#marks.delete(emitter);
    const settled = [...gone].filter((emitter) => this.#isDrained(emitter, stream));
    if (settled.length === 0) return;
    const inOrder = await calls.stopped(settled);
    const latest = Date.now() - longestCallMs;
    const lost = open.filter(
      ({ emitter, at }) => settled.includes(emitter) && (!inOrder.has(emitter) || at.getTime() < latest),
    );
    for (let at = 0; at < lost.length; at += batchSize) await this.#tell(lost.slice(at, at + batchSize));
  }

  #isDrained(emitter: string, { firstSequence, lastSequence, messages }: StreamState): boolean {
    const mark = this.#marks.get(emitter);
    if (mark === undefined) this.#marks.set(emitter, lastSequence);
    return mark !== undefined && (messages === 0 || firstSequence > mark);
  }

  async #tell(lost: readonly OpenCall[]): Promise<void> {
    const { events, instance, metrics, log } = this.#options;
    const stored = await events.store(lost.map((one) => unknownOf(one, instance)));
    metrics.unknown.inc(stored);
    log.warn({ calls: stored }, "calls have no outcome: the process that would have told it is gone");
  }
}

/** It has no number: it is made where it is stored, and can't be lost on the way. */
function unknownOf({ call, tenant }: OpenCall, emitter: string): NewEvent {
  return newEvent(`${call}.u`, { kind: "unknown", emitter, event: { at: Date.now(), tenant } }, { call });
}
