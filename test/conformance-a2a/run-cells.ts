import { inTurn } from "../conformance/in-turn.ts";
import { startAgent } from "./agents/agent.ts";
import { clientName, type Cell } from "./cells.ts";
import { compare, review, strays, type Baseline, type Review } from "./compare.ts";
import { playAll, type Played } from "./play.ts";
import type { Scenario } from "./scenarios.ts";
import { startThrough } from "./through.ts";
import { startWebhook } from "./webhook.ts";

export interface CellResult extends Review {
  readonly cell: string;
  readonly replicas: number;
  readonly isSame: boolean;
  readonly scenarios: number;
  /** Requests that reached the agent, all of them through the gateway. */
  readonly hits: number;
}

export interface RunOptions {
  readonly cells: readonly Cell[];
  /** How many of each service, one house after the other. */
  readonly replicas: readonly number[];
  readonly baseline: Baseline;
  readonly concurrency: number;
  readonly only?: (scenario: Scenario) => boolean;
  readonly onProgress: (line: string) => void;
}

/** Plays every scenario direct once per client, and through Sluice once per cell and number of replicas. */
export async function runCells(options: RunOptions): Promise<CellResult[]> {
  const { cells, concurrency, baseline, onProgress, only } = options;
  await using webhook = await startWebhook();
  const playing = { webhook, ...(only && { only }) };
  const direct = new Map<string, Played[]>();
  for (const { client } of cells) {
    if (direct.has(clientName(client))) continue;
    await using agent = await startAgent(client.version);
    const bases = [agent.jsonRpcUrl, agent.restUrl ?? agent.jsonRpcUrl];
    const wanted = await playAll({ ...playing, client, agent, bases, options: { baseUrl: agent.url } });
    direct.set(clientName(client), wanted);
  }
  const results: CellResult[] = [];
  for (const replicas of options.replicas) {
    onProgress(`starting Sluice with ${replicas} of each service …`);
    await using through = await startThrough({ cells, replicas });
    const { origin, key } = through;
    await inTurn(cells, concurrency, async (cell) => {
      const startedAt = Date.now();
      const { client } = cell;
      const [agent, baseUrl] = [through.agent(cell), through.baseUrl(cell)];
      const headers = { "x-agent-api-key": key };
      const played = await playAll({ ...playing, client, agent, bases: [baseUrl], options: { baseUrl, headers } });
      const { ledger } = agent;
      const wanted = direct.get(clientName(client)) ?? [];
      const differences = [...compare(cell, wanted, played), ...strays({ origin, key, ledger }, played)];
      const { name, isSame } = cell;
      const counted = { isSame, scenarios: played.length, hits: ledger.hits };
      results.push({ cell: name, replicas, ...counted, ...review(cell, differences, baseline) });
      onProgress(`${name} x${replicas}: ${played.length} scenarios in ${Date.now() - startedAt} ms`);
    });
  }
  return results;
}
