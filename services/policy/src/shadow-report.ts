import type { PolicyVerdict, ShadowDecision } from "@sluice/contracts";
import { Counter, type Log, type Registry } from "@sluice/telemetry";

type Shadowed = Pick<PolicyVerdict, "rule"> & { readonly shadow: ShadowDecision };

const quietMs = 60_000;
/** Rules that have a label of their own; those that come later share one. */
const mostLabels = 500;

/** Counts and logs what rules in shadow mode would have decided otherwise; each rule is logged once a minute at most. */
export class ShadowReport {
  readonly #counter: Counter<"tenant" | "rule" | "decision">;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #seen = new Map<string, { quietUntil: number; count: number }>();

  constructor({ log, metrics, now = Date.now }: { log: Log; metrics: Registry; now?: () => number }) {
    this.#log = log;
    this.#now = now;
    this.#counter = new Counter({
      name: "sluice_policy_shadow_decisions_total",
      help: "Calls that would have been decided otherwise, had the rules in shadow mode counted",
      labelNames: ["tenant", "rule", "decision"],
      registers: [metrics],
    });
  }

  add(tenant: string, { rule: decidedBy, shadow }: Shadowed): void {
    const { decision, rule } = shadow;
    const name = `${tenant}\0${rule}\0${decision}`;
    let seen = this.#seen.get(name);
    if (seen === undefined) {
      if (this.#seen.size >= mostLabels) {
        this.#counter.inc({ tenant: "other", rule: "other", decision });
        return;
      }
      this.#seen.set(name, (seen = { quietUntil: 0, count: 0 }));
    }
    this.#counter.inc({ tenant, rule, decision });
    seen.count++;
    const now = this.#now();
    if (now < seen.quietUntil) return;
    this.#log.info(
      { tenant, rule, decision, decidedBy, count: seen.count },
      "a rule in shadow mode would decide otherwise",
    );
    seen.quietUntil = now + quietMs;
    seen.count = 0;
  }
}
