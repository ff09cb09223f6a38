import type { AuditLog, SectionMap } from "@sluice/bus";
import { Captures, type Skipped } from "@sluice/capture";
import type { Kept } from "@sluice/contracts";
import { Counter, type Registry } from "@sluice/telemetry";
import type { ActiveCall } from "./active-call.ts";
import type { Recorded, Wanted } from "./answer-record.ts";
import { ContentBudget, HeldContent } from "./held-content.ts";

/** What the audit trail gets of answers: by tenant, what of them is wanted, and how it gets there. */
export class KeptAnswers {
  readonly #audit: AuditLog;
  readonly #budget = new ContentBudget();
  readonly #onSkip: (reason: Skipped) => void;
  #wanted: ReadonlyMap<string, Wanted> = new Map();

  constructor(audit: AuditLog, metrics: Registry) {
    const skipped = new Counter({
      name: "sluice_audit_capture_skipped_total",
      help: "Messages that captureFields did not look into",
      labelNames: ["service", "reason"],
      registers: [metrics],
    });
    this.#audit = audit;
    this.#onSkip = (reason) => skipped.inc({ service: "egress", reason });
  }

  configure(sections: SectionMap<"egress">): void {
    this.#wanted = new Map(
      [...sections].flatMap(([tenant, { kept }]) => (kept === undefined ? [] : [[tenant, this.#wantedBy(kept)]])),
    );
  }

  /** Says what is wanted of the answer to a call that begins. */
  begin({ head, record }: ActiveCall): void {
    record.want(this.#wanted.get(head.tenant));
  }

  /** What goes into the outcome; content goes to the trail by itself. */
  end({ head, record }: ActiveCall): Recorded {
    const recorded = record.end(head);
    const content = record.takeContent();
    const { call, tenant } = head;
    if (content !== undefined && content.bytes > 0) {
      const data = this.#audit.pressed ? "" : content.data;
      this.#audit.add({ event: "content", call, tenant, at: Date.now(), part: "response", ...content, data });
    }
    return recorded;
  }

  #wantedBy({ fields, contentBytes }: Kept): Wanted {
    return {
      captures: new Captures(fields, this.#onSkip),
      ...(contentBytes !== undefined && { hold: () => new HeldContent(this.#budget, contentBytes) }),
    };
  }
}
