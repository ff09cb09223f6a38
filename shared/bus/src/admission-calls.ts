import { decodeJson, maxAdmissionBatch, targetKinds, type AdmissionRequest, type Intent } from "@sluice/contracts";
import type { Incoming } from "./incoming.ts";

/**
 * The calls of an admission message, or nothing where it can't be answered: nobody waits for it, or it isn't what ingress sends.
 * Checks only what is decided upon; the audit service reads the same message against its schema.
 */
export function readCalls(message: Incoming): readonly Intent[] | undefined {
  if (message.reply === undefined) return undefined;
  try {
    const { calls } = decodeJson<AdmissionRequest>(message.data);
    const usable =
      Array.isArray(calls) && calls.length > 0 && calls.length <= maxAdmissionBatch && calls.every(isDecidable);
    return usable ? calls : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a call holds what is decided upon. */
export function isDecidable(call: Intent): boolean {
  return (
    typeof call.tenant === "string" &&
    typeof call.agent.id === "string" &&
    typeof call.protocol === "string" &&
    typeof call.method === "string" &&
    typeof call.server === "string" &&
    (call.target === undefined || typeof call.target === "string") &&
    (call.targetKind === undefined || targetKinds.includes(call.targetKind)) &&
    (call.session === undefined || typeof call.session === "string")
  );
}
