import { writeFile } from "node:fs/promises";
import { authorizationBlock } from "@sluice/bus";
import type { ServiceName } from "@sluice/contracts";

/** The variable of the NATS server's environment that holds a service's password. */
export function passwordVariable(service: ServiceName): string {
  return `NATS_${service.toUpperCase().replaceAll("-", "_")}_PASSWORD`;
}

/** What belongs into authorization.conf: shared/bus/src/permissions.ts says who may use which subjects. */
export function authorizationConf(): string {
  const head = "# Made by: npm run build && node deploy/nats/render.ts\n";
  return head + authorizationBlock((service) => `$${passwordVariable(service)}`);
}

if (import.meta.main) await writeFile(new URL("authorization.conf", import.meta.url), authorizationConf());
