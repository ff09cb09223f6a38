import { asBuffer, Fault } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import type { Incoming } from "./incoming.ts";

/** What JetStream answers to a publish: `{stream, seq}` or `{error}`. */
interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly error?: { readonly description?: string };
}

/** Publishes and resolves once JetStream has stored the message. @throws Fault `unavailable` where it was not. */
export async function store(
  bus: Bus,
  message: { subject: string; payload: Uint8Array },
  timeoutMs: number,
): Promise<void> {
  const answer = await bus.ask(message.subject, message.payload, { timeoutMs });
  if (!isStored(answer)) throw new Fault("unavailable", "the message could not be stored");
}

/** Whether a message is JetStream's word that it stored what was published. */
export function isStored(message: Incoming): boolean {
  const ack = JSON.parse(asBuffer(message.data).toString("utf8")) as PubAck;
  return ack.error === undefined && typeof ack.stream === "string" && (ack.seq ?? 0) > 0;
}
