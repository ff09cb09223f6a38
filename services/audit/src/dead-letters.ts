import { store, type Bus } from "@sluice/bus";
import { asBuffer, encodeJson, subjects } from "@sluice/contracts";

const storeTimeoutMs = 5_000;
/** In base64 and with the reason it still fits one message of NATS' default 1 MiB. */
const mostBytes = 700_000;

/** What can't be stored: a message whole, or one event of it. */
export interface DeadLetter {
  readonly subject: string;
  readonly data: Uint8Array;
}

/** Keeps what can't be stored in the AUDIT_DEAD stream, with the reason. Resolves once it is kept; what is larger than fits is cut. */
export async function keepDeadLetter(bus: Bus, dead: DeadLetter, reason: string): Promise<void> {
  const bytes = asBuffer(dead.data);
  const letter = {
    reason,
    subject: dead.subject,
    bytes: bytes.length,
    data: bytes.toString("base64", 0, mostBytes),
  };
  await store(bus, { subject: subjects.auditDead, payload: encodeJson(letter) }, storeTimeoutMs);
}
