import { createPublicKey } from "node:crypto";
import { checkTlsIsUsed, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { nearest } from "./nearest-key.ts";

type Endpoint = Tenant["a2a"]["endpoints"][number];

/** What the shape alone cannot say of a tenant's agents; paths begin at `a2a`. */
export function checkA2a({ a2a: { defaultAgent, endpoints } }: Tenant): Finding[] {
  const names = endpoints.map(({ name }) => name);
  const isUnknown = defaultAgent !== undefined && !names.includes(defaultAgent);
  return [
    ...(isUnknown ? [{ path: ["a2a", "defaultAgent"], reason: unknownAgent(defaultAgent, names) }] : []),
    ...endpoints.flatMap((endpoint, index) =>
      checkEndpoint(endpoint).map(({ path, reason }) => ({ path: ["a2a", "endpoints", index, ...path], reason })),
    ),
  ];
}

function checkEndpoint(endpoint: Endpoint): Finding[] {
  const { version, binding, cardKeys = [], tls, url, card } = endpoint;
  const findings: Finding[] = [];
  const isOld = version === "0.1" || version === "0.2";
  if (isOld && binding === "HTTP+JSON")
    findings.push({ path: ["binding"], reason: `there is no HTTP+JSON in ${version}: it came with 0.3` });
  for (const [index, key] of cardKeys.entries())
    if (!isPublicKey(key)) findings.push({ path: ["cardKeys", index], reason: "is no public key that can be read" });
  const address = url ?? card;
  if (address !== undefined) checkTlsIsUsed(address, tls, (reason) => void findings.push({ path: ["tls"], reason }));
  return findings;
}

function isPublicKey(pem: string): boolean {
  try {
    createPublicKey(pem);
    return true;
  } catch {
    return false;
  }
}

function unknownAgent(name: string, names: readonly string[]): string {
  const meant = nearest(name, names);
  return `is none of a2a.endpoints${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}
