import { serviceNames } from "@sluice/contracts";
import { startTestHouse } from "@sluice/testing";
import { startShim } from "../conformance/shim.ts";
import { startAgent, type ReferenceAgent } from "./agents/agent.ts";
import type { Cell } from "./cells.ts";

/** Sluice whole, with an agent of its own for each cell. */
export interface Through extends AsyncDisposable {
  /** Where clients reach the gateway: its replicas of ingress in turn. */
  readonly origin: string;
  readonly key: string;
  agent(cell: Cell): ReferenceAgent;
  /** The place of a cell's agent behind the gateway. */
  baseUrl(cell: Cell): string;
  logs(): Promise<string>;
}

export interface ThroughOptions {
  readonly cells: readonly Cell[];
  /** Of each service. */
  readonly replicas: number;
}

const caller = "conformance-1";
const endpointOf = ({ name }: Cell) => name.replaceAll(/[^a-z0-9]+/g, "-");

export async function startThrough({ cells, replicas }: ThroughOptions): Promise<Through> {
  await using stack = new AsyncDisposableStack();
  const agents = new Map<Cell, ReferenceAgent>();
  for (const cell of cells) {
    const { version, bindings } = cell.agent;
    agents.set(cell, stack.use(await startAgent(version, { bindings })));
  }
  let turn = 0;
  let origins: readonly string[] = [];
  const next = (path: string) => new URL(path, origins[turn++ % origins.length]);
  const shim = stack.use(await startShim({ next, headers: [] }));
  const { origin } = new URL(shim.url);
  const endpoints = [...agents].map(([cell, agent]) => ({ name: endpointOf(cell), card: agent.cardUrl }));
  const house = stack.use(
    await startTestHouse({
      tenants: { conformance: { agents: [caller], a2a: { endpoints } } },
      replicas: Object.fromEntries(serviceNames.map((service) => [service, replicas])),
      env: { PUBLIC_URL: origin },
    }),
  );
  origins = house.house.of("ingress").map(({ url = "" }) => url);
  const owned = stack.move();
  return {
    origin,
    key: house.key(caller),
    agent: (cell) => agents.get(cell) as ReferenceAgent,
    baseUrl: (cell) => `${origin}/a2a/${endpointOf(cell)}`,
    logs: () => house.logs(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
