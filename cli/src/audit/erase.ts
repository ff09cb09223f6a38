import { createInterface } from "node:readline/promises";
import type { PersonAnswer } from "@sluice/contracts";
import { connectAdmin, type AdminFlags } from "../admin-client.ts";

export interface EraseFlags extends AdminFlags {
  readonly tenant: string;
  readonly subject: string;
  readonly yes?: true;
}

/** Goes through all of the tenant's trail. */
const timeoutMs = 300_000;

/** Shows what forgetting somebody touches, asks, and has it done. @throws Error where it is not agreed to */
export async function erase({ tenant, subject, yes, ...flags }: EraseFlags): Promise<void> {
  const admin = await connectAdmin(flags);
  const base = `/v1/tenants/${encodeURIComponent(tenant)}/audit`;
  const found = await admin.post<PersonAnswer>(`${base}/person`, { subject }, timeoutMs);
  process.stdout.write(
    `${told(found)}\nWhat stands behind ${short(found)}, captured fields and kept content are deleted for good; the events stay.\n`,
  );
  if (yes !== true && !(await agreed())) throw new Error("nothing was erased");
  const done = await admin.post<PersonAnswer>(`${base}/erase`, { commitment: found.commitment }, timeoutMs);
  process.stdout.write(
    `erased: ${told(done)} Views show erased-${short(done)} from now on: give that as --subject when calls that were under way have ended.\n`,
  );
}

function told({ events, captured, content }: PersonAnswer): string {
  return `${events} events, captured fields of ${captured}, content of ${content}.`;
}

function short({ commitment }: PersonAnswer): string {
  return commitment.slice(0, 12);
}

async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Error("nobody can be asked here: give --yes");
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await lines.question("Go on? Type yes: ");
  lines.close();
  return answer.trim() === "yes";
}
