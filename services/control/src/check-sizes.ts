import { oversized } from "@sluice/bus";
import { gatewayLog, type Conf } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { cutSections } from "./cut-sections.ts";

const longestVersion = Number.MAX_SAFE_INTEGER;

/** What could not be brought to the services, found before anything of it is published. */
export function checkSizes(conf: Conf): Finding[] {
  return oversized(cutSections(conf, longestVersion)).map(({ tenant, section, bytes, limit }) => ({
    path: placeOf(tenant),
    reason:
      tenant === undefined
        ? `too many tenants: the list of their names may have ${limit} bytes, and has ${bytes}`
        : `what ${section} needs of this tenant may have ${limit} bytes, and has ${bytes}`,
  }));
}

function placeOf(tenant: string | undefined): string[] {
  if (tenant === undefined) return ["tenants"];
  return tenant === gatewayLog ? ["audit"] : ["tenants", tenant];
}
