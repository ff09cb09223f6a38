import type { ApiKeyMethod, Conf, OAuth2Method, Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** A method and where it stands. */
interface Placed<Method> {
  readonly tenant: string;
  readonly path: readonly PropertyKey[];
  readonly method: Method;
}

/** Where ingress asks who calls, in a tenant. */
export function askedUrls({ authentication }: Tenant): { path: readonly PropertyKey[]; url: string }[] {
  return authentication.flatMap((method, index) => {
    const addresses =
      method.type === "apiKey"
        ? { validationEndpoint: method.validationEndpoint }
        : { issuer: method.issuer, jwksUrl: method.jwksUrl, introspectionUrl: method.introspectionUrl };
    return Object.entries(addresses).flatMap(([key, url]) =>
      url === undefined ? [] : [{ path: ["authentication", index, key], url }],
    );
  });
}

/** What leaves open whose a credential is: it has to be one tenant's, and may be shown to one server alone. */
export function checkAuthentication(conf: Conf): Finding[] {
  const tokens: Placed<OAuth2Method>[] = [];
  const keys: Placed<ApiKeyMethod>[] = [];
  for (const [tenant, { authentication }] of Object.entries(conf.tenants)) {
    for (const [index, method] of authentication.entries()) {
      const path = ["tenants", tenant, "authentication", index];
      if (method.type === "oauth2ClientCredentials") tokens.push({ tenant, path, method });
      else keys.push({ tenant, path, method });
    }
  }
  return [
    ...conflicts(tokens, tokenConflict),
    ...conflicts(
      tokens.filter(({ method }) => method.introspectionUrl !== undefined),
      opaqueConflict,
    ),
    ...conflicts(
      keys.filter(({ method }) => method.validationEndpoint !== undefined),
      keyConflict,
    ),
  ];
}

type Conflict<Method> = (one: Placed<Method>, other: Placed<Method>) => { key: string; reason: string } | undefined;

/** Each method against those before it. */
function conflicts<Method>(placed: readonly Placed<Method>[], conflict: Conflict<Method>): Finding[] {
  return placed.flatMap((one, index) => {
    const found = placed.slice(0, index).flatMap((other) => conflict(one, other) ?? []);
    return found.slice(0, 1).map(({ key, reason }) => ({ path: [...one.path, key], reason }));
  });
}

/** Two tenants take tokens of the same server: something in the token has to say whose it is. */
const tokenConflict: Conflict<OAuth2Method> = (one, other) => {
  if (one.tenant === other.tenant || serverOf(one.method) !== serverOf(other.method)) return undefined;
  const [claim, otherClaim] = [one, other].map(({ tenant, method: { tenantClaim } }) => {
    return tenantClaim && { name: tenantClaim.name, value: tenantClaim.value ?? tenant };
  });
  const isToldByClaim =
    claim !== undefined &&
    otherClaim !== undefined &&
    claim.name === otherClaim.name &&
    claim.value !== otherClaim.value;
  const audiences = audiencesOf(one.method);
  const sharesAudience = audiencesOf(other.method).some((audience) => audience === any || audiences.includes(audience));
  if (isToldByClaim || !(sharesAudience || audiences.includes(any))) return undefined;
  return {
    key: one.method.issuer === undefined ? "introspectionUrl" : "issuer",
    reason: `tenant ${other.tenant} takes the same tokens: give each tenant another audience, or both a tenantClaim`,
  };
};

/** A token that says nothing of its issuer is shown to one server. */
const opaqueConflict: Conflict<OAuth2Method> = ({ method }, { tenant, method: other }) => {
  const isSame = [method, other].map(asked);
  if (isSame[0] === isSame[1] || !overlap(method.tokenPrefix, other.tokenPrefix)) return undefined;
  return {
    key: method.tokenPrefix === undefined ? "introspectionUrl" : "tokenPrefix",
    reason: `opaque tokens could be ${tenant}'s too, which asks another server: give each a tokenPrefix of its own`,
  };
};

const keyConflict: Conflict<ApiKeyMethod> = ({ method }, { tenant, method: other }) => {
  const sameHeader = method.headerName.toLowerCase() === other.headerName.toLowerCase();
  if (!sameHeader || !overlap(method.keyPrefix, other.keyPrefix)) return undefined;
  return {
    key: method.keyPrefix === undefined ? "validationEndpoint" : "keyPrefix",
    reason: `keys in this header could be ${tenant}'s too, which asks another endpoint: give each a headerName or keyPrefix of its own`,
  };
};

const any = "any";

/** The gateway's own URL stands as the empty text. */
function audiencesOf({ audience = "" }: OAuth2Method): readonly string[] {
  return [audience].flat();
}

function serverOf({ issuer, introspectionUrl }: OAuth2Method): string | undefined {
  return issuer ?? introspectionUrl;
}

function asked({ introspectionUrl, clientId }: OAuth2Method): string {
  return JSON.stringify([introspectionUrl, clientId]);
}

/** None stands beside one: what has none is for all that is nobody's by its prefix. */
function overlap(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.startsWith(other) || other.startsWith(one);
}
