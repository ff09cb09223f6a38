import type { AccessFault, TargetKind } from "@sluice/contracts";

type Plural = "Tools" | "Prompts" | "Resources" | "Agents" | "Skills";

/** How one kind of thing is decided upon. */
export interface Kind {
  readonly allowed: `allowed${Plural}`;
  readonly denied: `denied${Plural}`;
  readonly fault: AccessFault;
  /** Whether nothing is allowed even where no rule states what is. */
  readonly alwaysClosed: boolean;
  /** Whether names are URIs, which can be spelt in several ways. */
  readonly uris: boolean;
  /** Whether it is used with arguments, which conditions may look at. */
  readonly takesArguments: boolean;
}

export const kinds: Readonly<Record<TargetKind, Kind>> = {
  tools: {
    allowed: "allowedTools",
    denied: "deniedTools",
    fault: "tool_access_denied",
    alwaysClosed: true,
    uris: false,
    takesArguments: true,
  },
  prompts: {
    allowed: "allowedPrompts",
    denied: "deniedPrompts",
    fault: "prompt_access_denied",
    alwaysClosed: false,
    uris: false,
    takesArguments: true,
  },
  resources: {
    allowed: "allowedResources",
    denied: "deniedResources",
    fault: "resource_access_denied",
    alwaysClosed: false,
    uris: true,
    takesArguments: false,
  },
  agents: {
    allowed: "allowedAgents",
    denied: "deniedAgents",
    fault: "agent_access_denied",
    alwaysClosed: false,
    uris: false,
    takesArguments: false,
  },
  skills: {
    allowed: "allowedSkills",
    denied: "deniedSkills",
    fault: "agent_access_denied",
    alwaysClosed: false,
    uris: false,
    takesArguments: false,
  },
};
