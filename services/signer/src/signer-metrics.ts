import { Counter, Gauge, type Registry } from "@sluice/telemetry";

export type SignerMetrics = ReturnType<typeof createSignerMetrics>;

/** What operators see of the signer's work. */
export function createSignerMetrics(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  return {
    signed: counter("sluice_signer_signed_total", "Checkpoints signed by this replica"),
    refusals: counter(
      "sluice_signer_refusals_total",
      "Trees that do not come after the one that was signed, counted each time they are looked at",
      ["reason"],
    ),
    refusing: (count: () => number) =>
      new Gauge({
        name: "sluice_signer_refused_logs",
        help: "Logs of which nothing is signed any more",
        registers,
        collect() {
          this.set(count());
        },
      }),
    failures: counter(
      "sluice_signer_failures_total",
      "Rounds that could not be ended because Postgres or NATS was away",
    ),
    published: counter("sluice_signer_published_total", "Checkpoints brought to their destinations", ["destination"]),
    publishFailures: counter("sluice_signer_publish_failures_total", "Attempts at it that failed", ["destination"]),
    waiting: (count: () => Iterable<readonly [string, number]>) =>
      new Gauge({
        name: "sluice_signer_unpublished",
        help: "Logs whose newest checkpoint is not at its destination yet",
        labelNames: ["destination"],
        registers,
        collect() {
          for (const [destination, waiting] of count()) this.set({ destination }, waiting);
        },
      }),
  };
}
