import { Counter, Gauge, type Registry } from "@sluice/telemetry";

/** What operators see of the certificates that a process shows, by what they are for. */
export interface CertificateMetrics {
  expires(use: string, at: Date): void;
  /** Files that changed and can't be used; what was in use stays. */
  refused(use: string): void;
}

const made = new WeakMap<Registry, CertificateMetrics>();

/** One and the same for each registry. */
export function certificateMetrics(metrics: Registry): CertificateMetrics {
  const known = made.get(metrics);
  if (known !== undefined) return known;
  const expiry = new Gauge({
    name: "sluice_tls_certificate_expiry_timestamp_seconds",
    help: "When the certificate in use expires, in Unix seconds",
    labelNames: ["use"],
    registers: [metrics],
  });
  const failures = new Counter({
    name: "sluice_tls_reload_failures_total",
    help: "Changes of certificate, key or CA files that could not be used; what was in use stays",
    labelNames: ["use"],
    registers: [metrics],
  });
  const fresh: CertificateMetrics = {
    expires: (use, at) => expiry.set({ use }, Math.floor(at.getTime() / 1000)),
    refused: (use) => failures.inc({ use }),
  };
  made.set(metrics, fresh);
  return fresh;
}
