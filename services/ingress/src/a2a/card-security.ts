import type { SecurityScheme } from "@sluice/a2a";
import type { IngressSection } from "@sluice/contracts";
import { neededBy } from "../auth/token-rule.ts";

/** How callers of a tenant say who they are, as cards tell it: what the agent itself would want is the gateway's to show. */
export function schemesOf({ keyHeaders, oauth2, certificates }: IngressSection): SecurityScheme[] {
  const schemes: SecurityScheme[] = [
    ...keyHeaders.map((header) => ({ type: "apiKey" as const, header })),
    // A key, or a token that the gateway made, is taken so as well.
    ...(keyHeaders.length > 0 ? [{ type: "bearer" as const }] : []),
    ...oauth2.map(oauthScheme),
    ...(certificates.length > 0 ? [{ type: "mutualTLS" as const }] : []),
  ];
  return [...new Map(schemes.map((scheme) => [JSON.stringify(scheme), scheme])).values()];
}

function oauthScheme(method: IngressSection["oauth2"][number]): SecurityScheme {
  const { issuer, tokenUrl } = method;
  const scopes = neededBy(method).a2a;
  if (tokenUrl !== undefined) return { type: "oauth2", tokenUrl, scopes };
  if (issuer === undefined) return { type: "bearer" };
  const url = `${issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`;
  return { type: "openIdConnect", url, scopes };
}
