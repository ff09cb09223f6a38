import type { ListedKind, PolicyVerdict } from "@sluice/contracts";

/** How one kind of thing is decided upon. */
export interface Kind {
  readonly allowed: "allowedTools" | "allowedPrompts" | "allowedResources";
  readonly denied: "deniedTools" | "deniedPrompts" | "deniedResources";
  readonly fault: Extract<PolicyVerdict, { ok: false }>["fault"];
  /** Whether nothing is allowed even where no rule states what is. */
  readonly alwaysClosed: boolean;
  /** Whether names are URIs, which can be spelt in several ways. */
  readonly uris: boolean;
}

export const kinds: Readonly<Record<ListedKind, Kind>> = {
  tools: {
    allowed: "allowedTools",
    denied: "deniedTools",
    fault: "tool_access_denied",
    alwaysClosed: true,
    uris: false,
  },
  prompts: {
    allowed: "allowedPrompts",
    denied: "deniedPrompts",
    fault: "prompt_access_denied",
    alwaysClosed: false,
    uris: false,
  },
  resources: {
    allowed: "allowedResources",
    denied: "deniedResources",
    fault: "resource_access_denied",
    alwaysClosed: false,
    uris: true,
  },
};
