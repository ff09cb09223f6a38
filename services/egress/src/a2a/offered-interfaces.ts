import { a2aBindings, a2aVersions, type A2aBinding, type A2aVersion } from "@sluice/contracts";
import { isSame, type AgentInterface } from "./agent-interface.ts";

/** Ways to call an agent that its card offers. */
export interface Offered {
  readonly usable: readonly AgentInterface[];
  /** Origins that nothing is sent to, because the card is not from there. */
  readonly elsewhere: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

interface Claimed {
  readonly url: unknown;
  readonly binding: unknown;
  readonly version: A2aVersion | undefined;
  readonly tenant?: unknown;
}

/**
 * Reads what a card of any revision offers: `supportedInterfaces` (1.0), `url` with `preferredTransport` and
 * `additionalInterfaces` (0.2, 0.3), or `url` alone (0.1). Interfaces of other origins than the card's own do not count, nor do
 * bindings and revisions that are not served.
 */
export function offeredInterfaces(card: Fields, cardUrl: string): Offered {
  const usable: AgentInterface[] = [];
  const elsewhere = new Set<string>();
  const { origin } = new URL(cardUrl);
  for (const { url, binding, version, tenant } of [...claimedOf1(card), ...claimedBefore1(card)]) {
    const at = typeof url === "string" ? URL.parse(url, cardUrl) : null;
    if (at === null || version === undefined || !isServed(binding, version)) continue;
    const dialect = { version, binding };
    if (at.origin !== origin) elsewhere.add(at.origin);
    else if (!usable.some((one) => isSame(one.dialect, dialect)))
      usable.push({ dialect, path: at.pathname + at.search, ...(isText(tenant) && { tenant }) });
  }
  return { usable, elsewhere: [...elsewhere] };
}

function claimedOf1({ supportedInterfaces }: Fields): Claimed[] {
  return objectsOf(supportedInterfaces).map(({ url, protocolBinding, protocolVersion, tenant }) => ({
    url,
    binding: protocolBinding,
    version: protocolVersion === undefined ? "1.0" : versionOf(protocolVersion),
    tenant,
  }));
}

function claimedBefore1(card: Fields): Claimed[] {
  if (card["supportedInterfaces"] !== undefined && card["protocolVersion"] === undefined) return [];
  const version = revisionOf(card);
  const others = objectsOf(card["additionalInterfaces"]).map(({ url, transport }) => ({
    url,
    binding: transport,
    version,
  }));
  return [{ url: card["url"], binding: card["preferredTransport"] ?? "JSONRPC", version }, ...others];
}

/** 0.1 knew `authentication` and no `protocolVersion`, which came within 0.2. */
function revisionOf({ protocolVersion, authentication, security, securitySchemes }: Fields): A2aVersion | undefined {
  if (protocolVersion !== undefined) return versionOf(protocolVersion);
  return isGiven(authentication) && !isGiven(security) && !isGiven(securitySchemes) ? "0.1" : "0.2";
}

function versionOf(text: unknown): A2aVersion | undefined {
  const [, digits] = typeof text === "string" ? (/^v?(\d+\.\d+)(?:\.|$)/.exec(text) ?? []) : [];
  return a2aVersions.find((version) => version === digits);
}

/** HTTP+JSON came with 0.3. */
function isServed(binding: unknown, version: A2aVersion): binding is A2aBinding {
  return a2aBindings.some((one) => one === binding) && (binding === "JSONRPC" || version >= "0.3");
}

function objectsOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter((one): one is Fields => typeof one === "object" && one !== null) : [];
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
