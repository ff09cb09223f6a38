import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { serviceNames } from "@sluice/contracts";
import { compare, confirmed, review } from "../compare.ts";
import { inTurn } from "../in-turn.ts";
import type { CellResult } from "../run-cells.ts";
import { scoreOf } from "../score.ts";
import { startShim, type Shim } from "../shim.ts";
import { runClientScenario, suiteNames, type Check, type SuiteName } from "../suites.ts";
import { clientScenarios, environment } from "./scenarios.ts";

export interface ClientOptions {
  readonly suites: readonly SuiteName[];
  readonly replicas: readonly number[];
  readonly dir: string;
  readonly concurrency: number;
  readonly onProgress: (line: string) => void;
}

/** A scenario with the hop by which Sluice reaches the suite's server: its address is known only when it has started. */
interface Line {
  readonly suite: SuiteName;
  readonly scenario: string;
  readonly server: string;
  readonly hop: Shim;
  target: URL | undefined;
}

const command = [process.execPath, fileURLToPath(new URL("main.ts", import.meta.url))]
  .map((part) => JSON.stringify(part))
  .join(" ");

/** The suite's server, an official client and, the second time, Sluice between them. */
export async function runClient(options: ClientOptions): Promise<CellResult[]> {
  const { suites, dir, concurrency, onProgress } = options;
  const wanted = suites.flatMap((suite) => clientScenarios[suite].map((scenario) => ({ suite, scenario })));
  const run = async (label: string, what: (typeof wanted)[number], env: Record<string, string>) => {
    const own = await mkdtemp(join(dir, `${label}-client-${what.suite}-${what.scenario}-`));
    return runClientScenario({ ...what, command, dir: own, env: { ...env, [environment.suite]: what.suite } });
  };
  const direct: Check[][] = [];
  await inTurn(wanted, concurrency, async (what) => {
    direct[wanted.indexOf(what)] = await run("direct", what, {});
  });
  onProgress(`direct client: ${direct.flat().length} checks in ${wanted.length} scenarios`);
  const results: CellResult[] = [];
  for (const replicas of options.replicas) {
    onProgress(`starting Sluice with ${replicas} of each service for the client's side …`);
    await using between = await startBetween(wanted, replicas);
    const through: Check[][] = [];
    await inTurn(wanted, concurrency, async (what) => {
      through[wanted.indexOf(what)] = await run(`through-x${replicas}`, what, between.env(what));
    });
    onProgress(`through client x${replicas}: ${through.flat().length} checks in ${wanted.length} scenarios`);
    const doubtful = wanted.filter((_what, at) => compare(direct[at] ?? [], through[at] ?? []).length > 0);
    const again: Check[][] = [...direct];
    for (const what of doubtful) {
      onProgress(`again through client ${what.suite} ${what.scenario} x${replicas}`);
      again[wanted.indexOf(what)] = await run(`again-x${replicas}`, what, between.env(what));
    }
    for (const suite of suites) {
      const of = (checks: readonly Check[][]) => checks.filter((_some, at) => wanted[at]?.suite === suite).flat();
      const differences = compare(of(direct), of(through));
      const lasting = confirmed(differences, compare(of(direct), of(again)));
      results.push({
        cell: `client ${suite}`,
        replicas,
        direct: await scoreOf(suite, of(direct)),
        through: await scoreOf(suite, of(through)),
        ...review(lasting, {}),
        once: differences.filter((difference) => !lasting.includes(difference)),
      });
    }
  }
  return results;
}

interface Between extends AsyncDisposable {
  env(what: { suite: SuiteName; scenario: string }): Record<string, string>;
}

async function startBetween(
  wanted: readonly { suite: SuiteName; scenario: string }[],
  replicas: number,
): Promise<Between> {
  await using stack = new AsyncDisposableStack();
  const lines: Line[] = [];
  for (const what of wanted) {
    const server = `s${suiteNames.indexOf(what.suite)}-${what.scenario.replaceAll(/[^a-z0-9]/g, "-")}`;
    const next = (): URL => line.target ?? new URL("http://127.0.0.1:9");
    const line: Line = { ...what, server, hop: stack.use(await startShim({ next, headers: [] })), target: undefined };
    lines.push(line);
  }
  const points = stack.use(await startPoints(lines));
  const house = stack.use(await startHouse(lines, replicas));
  const owned = stack.move();
  return {
    env: ({ suite, scenario }) => {
      const at = lines.findIndex((line) => line.suite === suite && line.scenario === scenario);
      const ingress = house.house.of("ingress")[at % replicas];
      return {
        [environment.sluiceUrl]: `${ingress?.url}/mcp/${lines[at]?.server}`,
        [environment.key]: house.key("conformance-1"),
        [environment.pointUrl]: `${points.url}/${at}`,
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startHouse(lines: readonly Line[], replicas: number): Promise<TestHouse> {
  const endpoints = lines.map(({ server, hop }) => ({ name: server, url: hop.url }));
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  return startTestHouse({
    tenants: { suites: { agents: ["conformance-1"], mcp: { endpoints }, accessRules } },
    replicas: Object.fromEntries(serviceNames.map((service) => [service, replicas])),
  });
}

/** Where a client says which server its line leads to. */
async function startPoints(lines: readonly Line[]): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const line = lines[Number(request.url?.slice(1))];
    if (line !== undefined) line.target = new URL(Buffer.concat(chunks).toString("utf8"));
    response.end();
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
