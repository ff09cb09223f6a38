import { connectClient } from "./clients/clients.ts";
import type { A2aClient, ClientOptions } from "./clients/client.ts";
import type { ReferenceAgent } from "./agents/agent.ts";
import type { RecordedServer } from "./agents/recorded-server.ts";
import { normalTakes, type NormalTake } from "./normal.ts";
import { scenarios, type Scenario } from "./scenarios.ts";
import type { Dialect } from "@sluice/contracts";

/** How one scenario went. */
export interface Played {
  readonly scenario: string;
  readonly isGatewaysOwn: boolean;
  /** What it came to, or why it came to nothing. */
  readonly result: unknown;
  readonly takes: readonly NormalTake[];
  /** Ids of the messages that the client sent. */
  readonly messages: readonly string[];
  readonly urls: readonly string[];
}

export interface Play {
  readonly client: Dialect;
  readonly options: ClientOptions;
  readonly agent: ReferenceAgent;
  readonly webhook: RecordedServer;
  /** What stands before the paths of the protocol: addresses of the agent, or of its place at the gateway. */
  readonly bases: readonly string[];
  readonly only?: (scenario: Scenario) => boolean;
}

const scenarioTimeoutMs = 20_000;

/** Plays all that the client's revision can, one after another. */
export async function playAll({ client: dialect, options, agent, webhook, bases, only }: Play): Promise<Played[]> {
  const played: Played[] = [];
  for (const scenario of scenarios) {
    if (scenario.isFor?.(dialect) === false || only?.(scenario) === false) continue;
    let client: A2aClient | undefined;
    const play = async () => {
      client = await connectClient(dialect, options);
      return await scenario.play({ client, agent, webhook });
    };
    const result = await withLimit(play()).catch((error: unknown) => ({ failed: explain(error) }));
    const takes = client?.tape.takes ?? [];
    const messages = takes.flatMap(({ body }) => /"messageId":"([^"]+)"/.exec(body)?.[1] ?? []);
    const urls = takes.map(({ url }) => url);
    const isGatewaysOwn = scenario.isGatewaysOwn === true;
    played.push({ scenario: scenario.name, isGatewaysOwn, result, takes: normalTakes(takes, bases), messages, urls });
  }
  return played;
}

function explain(error: unknown): string {
  const { message, cause } = error as Error;
  return cause === undefined ? message : `${message}: ${explain(cause)}`;
}

async function withLimit<T>(work: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`nothing in ${scenarioTimeoutMs} ms`)), scenarioTimeoutMs);
  try {
    return await Promise.race([work, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
