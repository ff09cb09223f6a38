import { createHash } from "node:crypto";
import type { Conf, Credentials, Tenant } from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import { checkA2a } from "./check-a2a.ts";
import { checkCaptures } from "./check-captures.ts";
import { checkConditions } from "./check-conditions.ts";
import { askedUrls, checkAuthentication } from "./authentication-check.ts";
import { checkLimits } from "./check-limits.ts";
import { checkRoutes } from "./check-routes.ts";

/** Something wrong with the configuration, and where. */
export interface Finding {
  readonly path: readonly PropertyKey[];
  readonly reason: string;
  /** Where it is a place within the value: how many characters of the value come before. */
  readonly offset?: number;
}

const knownKeys = [
  ...[
    "",
    " ",
    "0",
    "1234",
    "12345678",
    "abc123",
    "admin",
    "agent",
    "api-key",
    "api_key",
    "apikey",
    "change-me",
    "change_me",
  ],
  ...[
    "changeit",
    "changeme",
    "default",
    "demo",
    "dev",
    "example",
    "key",
    "letmein",
    "none",
    "null",
    "password",
    "root",
  ],
  ...[
    "sample",
    "secret",
    "sluice",
    "string",
    "test",
    "test-key",
    "todo",
    "token",
    "undefined",
    "xxx",
    "your-api-key",
    "your_api_key",
  ],
];

/** `sha256:<hex>` of keys that everybody knows, also as text with a line end. */
export const knownHashes: ReadonlySet<string> = new Set(knownKeys.flatMap((key) => [key, `${key}\n`]).map(hashOf));

/** What the shape alone can't say: names and keys that must be unique, keys that everybody knows, forbidden addresses, limits on nothing. */
export function crossCheck(conf: Conf, guard: AddressGuard): Finding[] {
  const holders = new Map<string, string>();
  const ofTenants = Object.entries(conf.tenants).flatMap(([name, tenant]) => {
    const path = ["tenants", name];
    const endpoints = tenant.mcp.endpoints.map((endpoint) => endpoint.name);
    const agentEndpoints = tenant.a2a.endpoints.map((endpoint) => endpoint.name);
    const agents = tenant.agents.map((agent) => agent.id);
    return [
      ...repeated(endpoints, (index) => [...path, "mcp", "endpoints", index, "name"], "endpoint"),
      ...repeated(agentEndpoints, (index) => [...path, "a2a", "endpoints", index, "name"], "endpoint"),
      ...(endpoints.length + agentEndpoints.length === 0 ? [{ path, reason: nothingBehind }] : []),
      ...repeated(agents, (index) => [...path, "agents", index, "id"], "agent"),
      ...checkKeys(path, tenant, holders),
      ...checkConditions(path, tenant),
      ...checkLimits(tenant).map((finding) => ({ ...finding, path: [...path, "limits", ...finding.path] })),
      ...checkA2a(tenant).map(({ path: at, reason }) => ({ path: [...path, ...at], reason })),
      ...checkRoutes(tenant).map(({ path: at, reason }) => ({ path: [...path, ...at], reason })),
      ...checkCaptures(tenant).map((finding) => ({ ...finding, path: [...path, "audit", ...finding.path] })),
      ...urlsOf(tenant).flatMap(({ path: at, url }) => checkUrl([...path, ...at], url, guard)),
    ];
  });
  return [...ofTenants, ...checkAuthentication(conf)];
}

const nothingBehind = "has nothing behind it: give it mcp.endpoints, a2a.endpoints or both";

/** Everything in a tenant's configuration that Sluice will connect to. */
function urlsOf(tenant: Tenant): Address[] {
  const { mcp, a2a } = tenant;
  return [
    ...mcp.endpoints.flatMap(({ url, credentials }, index) => [
      { path: ["mcp", "endpoints", index, "url"], url },
      ...addressesOf(["mcp", "endpoints", index], credentials),
    ]),
    ...a2a.endpoints.flatMap(({ url, card, credentials }, index) => [
      ...named(["a2a", "endpoints", index], { url, card }),
      ...addressesOf(["a2a", "endpoints", index], credentials),
    ]),
    ...askedUrls(tenant),
  ];
}

interface Address {
  readonly path: readonly PropertyKey[];
  readonly url: string;
}

function addressesOf(path: readonly PropertyKey[], credentials: Credentials | undefined): Address[] {
  if (credentials?.type !== "oauth2ClientCredentials") return [];
  const { tokenUrl, issuer } = credentials;
  return named([...path, "credentials"], { tokenUrl, issuer });
}

function named(path: readonly PropertyKey[], addresses: Readonly<Record<string, string | undefined>>): Address[] {
  return Object.entries(addresses).flatMap(([key, url]) => (url === undefined ? [] : [{ path: [...path, key], url }]));
}

function checkUrl(path: readonly PropertyKey[], url: string, guard: AddressGuard): Finding[] {
  const { username, password } = new URL(url);
  const refusal = guard.refusalOfUrl(url);
  return [
    ...(username + password === ""
      ? []
      : [{ path, reason: "must not hold a user or password: whatever reads this file would see it" }]),
    ...(refusal === undefined ? [] : [{ path, reason: refusal.reason }]),
  ];
}

function repeated(values: readonly string[], pathOf: (index: number) => PropertyKey[], what: string): Finding[] {
  const seen = new Set<string>();
  return values.flatMap((value, index) => {
    if (!seen.has(value)) {
      seen.add(value);
      return [];
    }
    return [{ path: pathOf(index), reason: `another ${what} of this tenant has this name already` }];
  });
}

function checkKeys(path: readonly PropertyKey[], tenant: Tenant, holders: Map<string, string>): Finding[] {
  const findings: Finding[] = [];
  for (const [index, agent] of tenant.agents.entries()) {
    for (const [keyIndex, hash] of agent.apiKeys.entries()) {
      const keyPath = [...path, "agents", index, "apiKeys", keyIndex];
      const holder = holders.get(hash);
      if (holder !== undefined) findings.push({ path: keyPath, reason: `this key belongs to ${holder} already` });
      if (knownHashes.has(hash))
        findings.push({ path: keyPath, reason: "this is the hash of an empty or default key: make a random one" });
      holders.set(hash, `agent ${agent.id} of tenant ${String(path.at(-1))}`);
    }
  }
  return findings;
}

function hashOf(key: string): string {
  return `sha256:${createHash("sha256").update(key).digest("hex")}`;
}
