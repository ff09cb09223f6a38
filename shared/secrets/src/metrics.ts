import { Counter, Gauge, type Registry } from "@sluice/telemetry";
import type { Secrets } from "./secrets.ts";

/** Shows which secrets can't be read, and how often one changed. References say where secrets are, not what they are. */
export function measureSecrets(secrets: Secrets, metrics: Registry | undefined): { changed(): void } {
  const registers = metrics === undefined ? [] : [metrics];
  new Gauge({
    name: "sluice_secret_unreadable",
    help: "1 while the secret behind this reference can't be read; usable says whether its last value stays in use",
    labelNames: ["reference", "usable"],
    registers,
    collect: function () {
      this.reset();
      for (const { reference, usable, problem } of secrets.states())
        if (problem !== undefined) this.set({ reference, usable: String(usable) }, 1);
    },
  });
  const changes = new Counter({
    name: "sluice_secret_changes_total",
    help: "Times that a secret in use got another value",
    registers,
  });
  return { changed: () => changes.inc() };
}
