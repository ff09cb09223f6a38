import type { Protocol } from "@sluice/contracts";
import { Counter, Gauge, Histogram, type Registry } from "@sluice/telemetry";
import type { ActiveCall, Ending } from "./active-call.ts";

/** What is counted of the calls of one protocol. */
export interface CallMetrics {
  /** Shows how many are under way. */
  measure(size: () => number): void;
  count(call: ActiveCall, ending: Ending): void;
}

/** The metrics of calls, told apart by protocol: a server and an agent may have the same name. */
export function callMetrics(metrics: Registry): (protocol: Protocol) => CallMetrics {
  const registers = [metrics];
  const sizes = new Map<Protocol, () => number>();
  const counter = new Counter({
    name: "sluice_upstream_calls_total",
    help: "Calls forwarded to upstreams",
    labelNames: ["tenant", "server", "status", "fault", "protocol"],
    registers,
  });
  const durations = new Histogram({
    name: "sluice_upstream_call_duration_seconds",
    help: "From taking a call to the end of its answer",
    labelNames: ["tenant", "server", "protocol"],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
    registers,
  });
  new Gauge({
    name: "sluice_upstream_calls_active",
    help: "Calls under way, streams included",
    labelNames: ["protocol"],
    registers,
    collect: function () {
      for (const [protocol, size] of sizes) this.set({ protocol }, size());
    },
  });
  return (protocol) => ({
    measure: (size) => void sizes.set(protocol, size),
    count: ({ head: { tenant, server: called }, upstream, durationMs }, { status, fault }) => {
      const server = upstream ?? called;
      durations.observe({ tenant, server, protocol }, durationMs / 1000);
      counter.inc({ tenant, server, status, fault: fault ?? "", protocol });
    },
  });
}
