/** Tenants whose calls policy is asked about each time, because a condition forbids leases: with few rules and agents, and with many. */
import { sha256 } from "./processes.ts";

export const manyAgents = 10_000;
const manyRules = 1_000;
const digits = 5;

export function agentKey(key: string, number: number): string {
  return `${key}-${String(number).padStart(digits, "0")}`;
}

/** Where the number stands in a request that holds the key of agent 0. */
export const agentDigits = digits;

export function agents(key: string, count: number): object[] {
  return Array.from({ length: count }, (_, number) => ({
    id: `agent-${String(number).padStart(digits, "0")}`,
    owner: `team-${number % 50}`,
    apiKeys: [`sha256:${sha256(agentKey(key, number))}`],
  }));
}

const deciding = {
  agentPattern: "agent-*",
  when: "agent.id.startsWith('agent-')",
  allowedTools: ["echo-*", "stream-*", "tool-*"],
  deniedTools: [],
};
const other = { agentPattern: "other-*", allowedTools: ["*"], deniedTools: ["echo-*"] };

export const fewRules: readonly object[] = [other, deciding];

/** By id, by what ids begin or end with, and for everybody: what a large tenant writes. */
export const rules: readonly object[] = [
  ...Array.from({ length: manyRules - fewRules.length }, (_, number) => {
    const padded = String(number).padStart(digits, "0");
    switch (number % 10) {
      case 0:
        return { agentPattern: "agent-*", deniedTools: [`delete-${number}-*`, `drop-${number}`] };
      case 1:
        return { agentPattern: "*", allowedTools: [`report-${number}`, `read-${number}-*`] };
      case 2:
        return { agentPattern: `*-lead-${number}`, allowedTools: ["*"] };
      case 3:
        return { agentPattern: `team-${number}-*`, allowedTools: ["*"], deniedTools: ["echo-*"] };
      case 4:
        return {
          agentPattern: `agent-${padded.slice(0, 4)}*`,
          when: "agent.owner == 'nobody'",
          deniedTools: [`erase-${number}`],
        };
      default:
        return { agentPattern: `agent-${padded}`, allowedTools: [`own-${number}`, "search-*"] };
    }
  }),
  ...fewRules,
];
