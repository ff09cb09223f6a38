import { hash } from "node:crypto";

/** What a session is called wherever it is kept or recorded: its id is a credential, this is not (SHA-256, 64 hex digits). */
export function sessionNameOf(id: string): string {
  return hash("sha256", id, "hex");
}

const form = /^[0-9a-f]{64}$/;

export function isSessionName(text: string): boolean {
  return form.test(text);
}
