import { serviceNames } from "@sluice/contracts";
import { startTestHouse } from "@sluice/testing";
import type { Cell } from "./cells.ts";
import { startFixture } from "./fixtures/fixture.ts";
import { startShim } from "./shim.ts";

/** Sluice whole, with a tenant and a fixture of its own for each cell, so that no run hears of another. */
export interface Through extends AsyncDisposable {
  /** Where the suite of a cell reaches Sluice. */
  url(cell: Cell): string;
  logs(): Promise<string>;
}

export interface ThroughOptions {
  readonly cells: readonly Cell[];
  /** Of each service. */
  readonly replicas: number;
}

const agent = "conformance-1";
const server = "fixture";
const tenantOf = ({ name }: Cell) => name.replaceAll(/[^a-z0-9]/g, "-");

export async function startThrough({ cells, replicas }: ThroughOptions): Promise<Through> {
  await using stack = new AsyncDisposableStack();
  const tenants = await Promise.all(
    cells.map(async (cell) => {
      const { url } = stack.use(await startFixture(cell.fixture));
      const mcp = { endpoints: [{ name: server, url }] };
      const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
      return [tenantOf(cell), { agents: [agent], mcp, accessRules }] as const;
    }),
  );
  const house = stack.use(
    await startTestHouse({
      tenants: Object.fromEntries(tenants),
      replicas: Object.fromEntries(serviceNames.map((service) => [service, replicas])),
    }),
  );
  const urls = new Map<Cell, string>();
  let turn = 0;
  const replicasOfIngress = house.house.of("ingress");
  const next = () => new URL(`/mcp/${server}`, replicasOfIngress[turn++ % replicasOfIngress.length]?.url);
  for (const cell of cells) {
    const headers = ["x-agent-api-key", house.key(agent, tenantOf(cell))];
    urls.set(cell, stack.use(await startShim({ next, headers })).url);
  }
  const owned = stack.move();
  return {
    url: (cell) => urls.get(cell) ?? "",
    logs: () => house.logs(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
