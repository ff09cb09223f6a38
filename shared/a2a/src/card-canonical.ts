import { canonicalJson } from "@sluice/json";
import { isMembers, without, type Members } from "./card-shape.ts";

/**
 * The texts that a signature of a card may be made over (1.0 §8.4.1, RFC 8785), signatures left out: the card as it is;
 * without what is empty; and of that what 1.0 knows, which is all that signers and verifiers see that read cards into types.
 */
export function canonicalForms(card: Members): readonly string[] {
  const signed = without(card, signatures);
  return [...new Set([signed, cleaned(signed) ?? {}, ...typedForms(signed)].map(canonicalJson))];
}

/** Those of them that are signed: the card as it is, and what typed verifiers see. */
export function signedForms(card: Members): readonly string[] {
  const signed = without(card, signatures);
  return [...new Set([signed, ...typedForms(signed)].map(canonicalJson))];
}

/**
 * What readers of 1.0 see of a card of 1.0; the official one for JavaScript loses the security schemes where it canonicalises
 * a card that it has read before.
 */
function typedForms(card: Members): Members[] {
  if (!Array.isArray(card["supportedInterfaces"])) return [];
  const known = cleaned(knownOf(card, knownCard));
  return isMembers(known) ? [known, without(known, schemes)] : [];
}

const schemes: ReadonlySet<string> = new Set(["securitySchemes"]);
const signatures: ReadonlySet<string> = new Set(["signatures"]);

/** Without null, empty texts, lists and objects, inside first; undefined where nothing is left. */
function cleaned(value: unknown): unknown {
  if (value === null || value === "") return undefined;
  if (Array.isArray(value)) {
    const kept = value.map(cleaned).filter((one) => one !== undefined);
    return kept.length > 0 ? kept : undefined;
  }
  if (!isMembers(value)) return value;
  const kept = Object.entries(value)
    .map(([name, member]) => [name, cleaned(member)] as const)
    .filter(([, member]) => member !== undefined);
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}

/** What is known: all of a value, the members of an object, each element of a list, or each member whatever it is called. */
type Known =
  | "all"
  /** A flag without presence: false is as good as absent. */
  | "flag"
  | { readonly members: Readonly<Record<string, Known>> }
  | { readonly each: Known };

const texts = (...names: string[]) => Object.fromEntries(names.map((name) => [name, "all"] as const));
const described = (...names: string[]): Known => ({ members: texts("description", ...names) });

const knownFlow = { members: texts("authorizationUrl", "deviceAuthorizationUrl", "tokenUrl", "refreshUrl", "scopes") };
const knownScheme: Known = {
  members: {
    apiKeySecurityScheme: described("location", "name"),
    httpAuthSecurityScheme: described("scheme", "bearerFormat"),
    openIdConnectSecurityScheme: described("openIdConnectUrl"),
    mtlsSecurityScheme: described(),
    oauth2SecurityScheme: {
      members: {
        ...texts("description", "oauth2MetadataUrl"),
        flows: {
          members: {
            authorizationCode: { members: { ...knownFlow.members, pkceRequired: "flag" } },
            ...Object.fromEntries(
              ["clientCredentials", "implicit", "password", "deviceCode"].map((flow) => [flow, knownFlow]),
            ),
          },
        },
      },
    },
  },
};

/** AgentCard of 1.0's a2a.proto. */
const knownCard: Known = {
  members: {
    ...texts("name", "description", "version", "documentationUrl", "iconUrl"),
    ...texts("defaultInputModes", "defaultOutputModes"),
    supportedInterfaces: { each: { members: texts("url", "protocolBinding", "tenant", "protocolVersion") } },
    provider: { members: texts("url", "organization") },
    capabilities: {
      members: {
        ...texts("streaming", "pushNotifications", "extendedAgentCard"),
        extensions: { each: { members: { ...texts("uri", "description", "params"), required: "flag" } } },
      },
    },
    securitySchemes: { each: knownScheme },
    securityRequirements: "all",
    skills: {
      each: {
        members: {
          ...texts("id", "name", "description", "tags", "examples", "inputModes", "outputModes"),
          securityRequirements: "all",
        },
      },
    },
  },
};

function knownOf(value: unknown, known: Known): unknown {
  if (known === "all") return value;
  if (known === "flag") return value === true ? value : undefined;
  if ("each" in known) {
    if (Array.isArray(value)) return value.map((one) => knownOf(one, known.each));
    return isMembers(value) ? mapped(value, () => known.each) : undefined;
  }
  return isMembers(value) ? mapped(value, (name) => known.members[name]) : undefined;
}

function mapped(members: Members, knownAs: (name: string) => Known | undefined): Members {
  const kept = Object.entries(members).flatMap(([name, member]) => {
    const known = knownAs(name);
    const left = known === undefined ? undefined : knownOf(member, known);
    return left === undefined ? [] : [[name, left] as const];
  });
  return Object.fromEntries(kept);
}
