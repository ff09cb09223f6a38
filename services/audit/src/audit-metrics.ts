import { Counter, Gauge, Histogram, type Registry } from "@sluice/telemetry";

export type AuditMetrics = ReturnType<typeof createAuditMetrics>;

/** What operators see of the audit's work. */
export function createAuditMetrics(registry: Registry) {
  const registers = [registry];
  return {
    stored: new Counter({
      name: "sluice_audit_events_stored_total",
      help: "Events stored, each counted once",
      registers,
    }),
    repeated: new Counter({
      name: "sluice_audit_events_repeated_total",
      help: "Events delivered again and already stored",
      registers,
    }),
    deadLetters: new Counter({
      name: "sluice_audit_dead_letters_total",
      help: "Messages that can't be stored, kept in AUDIT_DEAD",
      registers,
    }),
    failures: new Counter({
      name: "sluice_audit_store_failures_total",
      help: "Attempts to store a batch that failed",
      registers,
    }),
    lag: new Gauge({
      name: "sluice_audit_lag_messages",
      help: "Messages of the AUDIT stream that no replica has taken yet",
      registers,
    }),
    batch: new Histogram({
      name: "sluice_audit_batch_events",
      help: "Events per transaction",
      buckets: [1, 4, 16, 64, 125, 250, 500, 1000],
      registers,
    }),
    ...alarms(registers),
  };
}

/** What operators are to look after. */
function alarms(registers: Registry[]) {
  return {
    deadLettersKept: new Gauge({
      name: "sluice_audit_dead_letters",
      help: "Messages that lie in AUDIT_DEAD",
      registers,
    }),
    fill: new Gauge({
      name: "sluice_audit_stream_fill_ratio",
      help: "How full the AUDIT stream is, of its bound: at 1 calls are refused",
      registers,
    }),
    oldest: new Gauge({
      name: "sluice_audit_oldest_message_age_seconds",
      help: "How long the oldest message of the AUDIT stream waits to be stored",
      registers,
    }),
    unknown: new Counter({
      name: "sluice_audit_outcomes_unknown_total",
      help: "Attempts that this replica found to have no outcome, because who would have told it is gone",
      registers,
    }),
    broken: new Gauge({
      name: "sluice_audit_trail_broken",
      help: "1 while the database does not have what was stored in it, and nothing is added",
      registers,
    }),
  };
}
