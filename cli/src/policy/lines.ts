import { named, type Named } from "./named.ts";

/** What control says of a call. */
export interface Explained extends Named {
  readonly decision: string;
  readonly argumentRule?: string;
  readonly shadow?: Named & { readonly decision: string };
  readonly statements: readonly (Named & {
    readonly pattern: string;
    readonly when?: string;
    readonly says: string;
    readonly decides: boolean;
  })[];
  readonly silent: readonly string[];
  readonly others: number;
  readonly allowed?: readonly string[];
}

/** An explanation as people read it. */
export function linesOf(explained: Explained): string[] {
  const { decision, argumentRule, shadow, statements, silent, others, allowed } = explained;
  return [
    `${decision}: ${named(explained)}`,
    ...(argumentRule === undefined ? [] : [`  because of the arguments: ${argumentRule}`]),
    ...(shadow === undefined ? [] : [`  with the rules in shadow mode: ${shadow.decision}: ${named(shadow)}`]),
    ...(allowed === undefined ? [] : [`  the agent may use: ${allowed.length === 0 ? "nothing" : allowed.join(", ")}`]),
    ...statements.flatMap((statement) => [
      `${statement.decides ? "*" : " "} ${named(statement)} "${statement.pattern}" ${statement.says}`,
      ...(statement.when === undefined ? [] : [`      when: ${statement.when}`]),
    ]),
    ...(silent.length === 0 ? [] : [`  about this agent, and nothing that fits: ${silent.join(", ")}`]),
    ...(others === 0 ? [] : [`  about other agents: ${others} rule${others === 1 ? "" : "s"}`]),
  ];
}
