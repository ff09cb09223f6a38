import { agentIdPattern, maxScopes, type Agent, type IdentityExtraction } from "@sluice/contracts";

/** What a token or a server says about who calls. */
export type Claims = Readonly<Record<string, unknown>>;
type Claim = (claims: Claims) => unknown;

const seedForm = /^#\[vars\.tokenClaims\.(.+)\]$/;
const longestText = 256;

/** Reads one claim. A name that the claims have as it stands goes before a way by dots, as names may be URLs. */
export function claimAt(written: string): Claim {
  const name = seedForm.exec(written)?.[1] ?? written;
  const way = name.split(".");
  return (claims) => (Object.hasOwn(claims, name) ? claims[name] : way.reduce<unknown>(member, claims));
}

function member(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null && Object.hasOwn(of, name) ? (of as Claims)[name] : undefined;
}

export interface Identity {
  readonly agent: Agent;
  readonly user?: string;
}

/** Reads who calls; undefined where nothing there can be an agent's id. */
export function identityReader(extraction: IdentityExtraction): (claims: Claims) => Identity | undefined {
  const [id, name, owner, user] = (["agentId", "agentName", "agentOwner", "user"] as const).map((key) =>
    claimAt(extraction[key]),
  ) as [Claim, Claim, Claim, Claim];
  return (claims) => {
    const agentId = id(claims);
    if (typeof agentId !== "string" || !agentIdPattern.test(agentId)) return undefined;
    const agentName = text(name(claims));
    const agentOwner = text(owner(claims));
    const onBehalfOf = text(user(claims));
    return {
      agent: {
        id: agentId,
        ...(agentName !== undefined && { name: agentName }),
        ...(agentOwner !== undefined && { owner: agentOwner }),
      },
      ...(onBehalfOf !== undefined && onBehalfOf !== agentId && { user: onBehalfOf }),
    };
  };
}

/** What is no text, or none that can be passed on, is left out. */
function text(value: unknown): string | undefined {
  if (typeof value !== "string" || value === "" || value.length > longestText) return undefined;
  return value.isWellFormed() && !hasControl(value) ? value : undefined;
}

function hasControl(value: string): boolean {
  return /\p{Cc}/u.test(value);
}

const longestScope = 256;

/** Whether these are few and short enough to go on beside each call. */
export function isBounded(scopes: readonly string[]): boolean {
  return scopes.length <= maxScopes && scopes.every((scope) => scope.length <= longestScope);
}

/** Scopes as `scope` has them (RFC 8693 §4.2), or as a list under `scope` or `scp`. */
export function scopesIn({ scope, scp }: Claims): readonly string[] {
  return [scope, scp].flatMap((value) => {
    if (typeof value === "string") return value.split(" ").filter((one) => one !== "");
    return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  });
}
