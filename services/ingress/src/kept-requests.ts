import type { IncomingHttpHeaders } from "node:http";
import type { AuditLog } from "@sluice/bus";
import { Captures, type Skipped } from "@sluice/capture";
import type { Agent, Captured, Intent, Kept } from "@sluice/contracts";
import { Counter, type Registry } from "@sluice/telemetry";

export interface KeptRequestsOptions {
  readonly audit: AuditLog;
  readonly metrics: Registry;
  /** What a tenant wants kept. */
  readonly keptOf: (tenant: string) => Kept | undefined;
}

/** A request as its client sent it. */
export interface SentRequest {
  readonly intent: Intent;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Its body has a credential in it, such as a webhook's: it is not kept. */
  readonly holdsSecret?: boolean | undefined;
}

/** What the audit trail gets of requests beside who, what and when: fields that a tenant names, and content where it wants that. */
export class KeptRequests {
  readonly #options: KeptRequestsOptions;
  readonly #captures = new WeakMap<Kept, Captures>();
  readonly #skipped: Counter<"service" | "reason">;

  constructor(options: KeptRequestsOptions) {
    this.#options = options;
    this.#skipped = new Counter({
      name: "sluice_audit_capture_skipped_total",
      help: "Messages that captureFields did not look into",
      labelNames: ["service", "reason"],
      registers: [options.metrics],
    });
  }

  /** The call's intent with what is to be on record of it; its content goes to the trail by itself. */
  record({ intent, headers, body, holdsSecret = false }: SentRequest): Intent {
    const kept = this.#options.keptOf(intent.tenant);
    if (kept === undefined) return intent;
    if (kept.contentBytes !== undefined) this.#tell(intent, holdsSecret ? 0 : kept.contentBytes, body);
    const captured = this.#captured(kept, { intent, headers, body, holdsSecret });
    return captured === undefined ? intent : { ...intent, captured };
  }

  #captured(kept: Kept, { intent, headers, body, holdsSecret }: SentRequest): Captured | undefined {
    let captures = this.#captures.get(kept);
    if (captures === undefined) {
      const onSkip = (reason: Skipped) => this.#skipped.inc({ service: "ingress", reason });
      this.#captures.set(kept, (captures = new Captures(kept.fields, onSkip)));
    }
    const header = headerOf(intent.agent, headers);
    return captures.of({ path: `/${intent.protocol}/${intent.method}`, body, header, holdsSecret });
  }

  #tell({ call, tenant }: Intent, most: number, body: Buffer): void {
    const { audit } = this.#options;
    const data = body.subarray(0, audit.pressed ? 0 : most).toString("base64");
    if (body.length > 0)
      audit.add({ event: "content", call, tenant, at: Date.now(), part: "request", data, bytes: body.length });
  }
}

/** The client's header fields; those of seed 001 say what the gateway found out, whatever the client sends by their names. */
function headerOf({ id, name, owner }: Agent, headers: IncomingHttpHeaders): (field: string) => string | undefined {
  const verified: Readonly<Record<string, string | undefined>> = {
    "x-verified-agent-id": id,
    "x-verified-agent-name": name,
    "x-verified-agent-owner": owner,
  };
  return (field) => {
    if (field in verified) return verified[field];
    const value = Object.hasOwn(headers, field) ? headers[field] : undefined;
    return Array.isArray(value) ? value.join(", ") : value;
  };
}
