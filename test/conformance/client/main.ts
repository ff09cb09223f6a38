/** The client of one scenario, started by the suite with the address of the suite's server as its last argument. */
import { connect, connectClassic, type ConnectOptions, type Destination } from "./connect.ts";
import { environment } from "./scenarios.ts";
import type { SuiteName } from "../suites.ts";

type Client = Awaited<ReturnType<typeof connect>>;
/** What the generations of the SDK have in common. */
type Caller = Pick<Client, "close"> & {
  listTools(): Promise<{ tools: { name: string; inputSchema: object }[] }>;
  callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown>;
};
type Calls = readonly { readonly name: string; readonly arguments: Record<string, unknown> }[];

const plain: ConnectOptions = { capabilities: {}, content: {}, discovered: false };

async function callFirst(client: Caller): Promise<void> {
  const [tool] = (await client.listTools()).tools;
  if (tool !== undefined) await client.callTool({ name: tool.name, arguments: { a: 5, b: 3 } });
}

async function echoSchema(client: Caller): Promise<void> {
  const { tools } = await client.listTools();
  const schema = tools.find(({ name }) => name === "json_schema_2020_12_tool")?.inputSchema;
  await client.callTool({ name: "json_schema_echo", arguments: { schema } });
}

async function callEvery(client: Caller, calls: Calls): Promise<void> {
  for (const call of calls) await client.callTool(call).catch((error: unknown) => console.error(call.name, error));
}

async function readEverything(client: Client): Promise<void> {
  await callFirst(client);
  const [resource] = (await client.listResources()).resources;
  if (resource !== undefined) await client.readResource({ uri: resource.uri });
  const [prompt] = (await client.listPrompts()).prompts;
  if (prompt !== undefined) await client.getPrompt({ name: prompt.name, arguments: {} });
}

interface Plot extends Partial<ConnectOptions> {
  readonly run: (client: Caller) => Promise<unknown>;
  readonly runModern?: (client: Client) => Promise<unknown>;
}

const mrtrTools = ["echo_state", "no_state", "unrelated", "no_result_type"];
const plots: Readonly<Record<string, Plot>> = {
  initialize: { run: (client) => client.listTools() },
  tools_call: { run: callFirst },
  "elicitation-sep1034-client-defaults": {
    capabilities: { elicitation: { form: { applyDefaults: true } } },
    run: callFirst,
  },
  "sse-retry": { run: callFirst },
  "json-schema-ref-no-deref": { run: (client) => client.listTools() },
  "json-schema-2020-12-preservation": { run: echoSchema },
  "request-metadata": {
    capabilities: { roots: { listChanged: true }, sampling: {}, elicitation: {} },
    run: (client) => client.listTools(),
  },
  "sep-2322-client-request-state": {
    capabilities: { elicitation: {} },
    content: { confirmed: true },
    discovered: true,
    run: (client) =>
      callEvery(
        client,
        mrtrTools.map((name) => ({ name: `test_mrtr_${name}`, arguments: {} })),
      ),
  },
  "http-standard-headers": { discovered: true, run: callFirst, runModern: readEverything },
  "http-custom-headers": {
    discovered: true,
    run: async (client) => {
      await client.listTools();
      await callEvery(client, callsOfContext());
    },
  },
  "http-invalid-tool-headers": {
    discovered: true,
    run: async (client) => {
      const { tools } = await client.listTools();
      await callEvery(
        client,
        tools.map(({ name }) => ({ name, arguments: { region: "us-west1" } })),
      );
    },
  },
};

/** What the suite wants to be called. */
function callsOfContext(): Calls {
  const { toolCalls = [] } = JSON.parse(process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as { toolCalls?: Calls };
  return toolCalls;
}

async function destination(suiteUrl: string): Promise<Destination> {
  const { [environment.sluiceUrl]: sluiceUrl, [environment.pointUrl]: pointUrl } = process.env;
  const suite = process.env[environment.suite] as SuiteName;
  if (sluiceUrl === undefined || pointUrl === undefined) return { url: new URL(suiteUrl), headers: {}, suite };
  await fetch(pointUrl, { method: "PUT", body: suiteUrl });
  const headers = { "x-agent-api-key": process.env[environment.key] ?? "" };
  return { url: new URL(sluiceUrl), headers, suite };
}

const scenario = process.env["MCP_CONFORMANCE_SCENARIO"] ?? "";
const plot = plots[scenario];
if (plot === undefined) throw new Error(`no such scenario: ${scenario}`);
const to = await destination(process.argv.at(-1) ?? "");
const options = { ...plain, ...plot };
if (to.suite === "0.1.16") {
  const client = await connectClassic(to, options);
  await plot.run(client as Caller);
  await client.close();
} else {
  const client = await connect(to, options);
  await (plot.runModern ?? plot.run)(client);
  await client.close();
}
