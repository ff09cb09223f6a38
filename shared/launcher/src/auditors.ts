import { createHmac } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { auditorStream } from "@sluice/contracts";
import type { HouseState } from "./state.ts";

/** The password of the NATS user `auditor-<log>`, which reads one log. */
function auditorPassword({ auditorSecret }: HouseState, log: string): string {
  return createHmac("sha256", auditorSecret).update(log).digest("base64url");
}

/** By log, as NATS' configuration has it. */
export function auditorPasswords(state: HouseState, auditors: readonly string[]): Map<string, string> {
  return new Map(auditors.map((log) => [log, JSON.stringify(auditorPassword(state, log))]));
}

/** Writes `auditors.json`: with what each of them gets in. */
export async function writeAuditorsFile(
  dataDir: string,
  state: HouseState,
  { url, auditors }: { url: string; auditors: readonly string[] },
): Promise<void> {
  const entries = auditors.map((log) => {
    const password = auditorPassword(state, log);
    return [log, { url, user: `auditor-${log}`, password, stream: auditorStream }] as const;
  });
  const text = `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`;
  await writeFile(join(dataDir, "auditors.json"), text, { mode: 0o600 });
}
