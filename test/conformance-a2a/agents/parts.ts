import type { RequestListener } from "node:http";
import type { A2aBinding } from "@sluice/contracts";
import type { Gates } from "./gates.ts";

/** What an agent is built with. */
export interface AgentParts {
  /** The origin that it is served at. */
  readonly url: string;
  readonly name: string;
  /** The preferred first. */
  readonly bindings: readonly A2aBinding[];
  readonly gates: Gates;
}

export interface BuiltAgent {
  readonly listener: RequestListener;
  readonly cardPath: string;
  readonly jsonRpcPath: string;
  readonly restPath?: string;
}

export const jsonRpcPath = "/rpc";
export const restPath = "/rest";

export const skills = [
  { id: "echo", name: "Echo", description: "Says it again", tags: ["test"], examples: ["echo hello"] },
  { id: "slow", name: "Slow", description: "Takes its time", tags: ["test"] },
];
export const secretSkill = { id: "secret", name: "Secret", description: "Only for the known", tags: ["test"] };
