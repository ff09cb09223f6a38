import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { accountsBlock } from "@sluice/bus";

/** The variable of the NATS server's environment that holds the password of a service, or of `auditor-<log>`. */
export function passwordVariable(user: string): string {
  return `NATS_${user.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_PASSWORD`;
}

/**
 * What belongs into authorization.conf: shared/bus/src/permissions.ts says who may use which subjects.
 * @param auditors the logs (tenants) that somebody reads by an account apart
 */
export function authorizationConf(auditors: readonly string[] = []): string {
  const head = "# Made by: npm run build && node deploy/nats/render.ts\n";
  return (
    head +
    accountsBlock({
      password: (service) => `$${passwordVariable(service)}`,
      auditors: new Map(auditors.map((log) => [log, `$${passwordVariable(`auditor-${log}`)}`])),
    })
  );
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { auditors: { type: "string", default: "" } } });
  const auditors = values.auditors.split(",").filter((log) => log !== "");
  await writeFile(new URL("authorization.conf", import.meta.url), authorizationConf(auditors));
}
