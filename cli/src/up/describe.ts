import { join, relative } from "node:path";
import type { House } from "@sluice/launcher";
import type { Demo } from "../demo/index.ts";

/** What is printed when everything is ready. */
export function describeHouse(house: House, dataDir: string): string {
  return lines([
    `Sluice is ready.`,
    ``,
    ...urlLines(house),
    ...placeLines(house, dataDir),
    `  audit    npx sluice audit tail${dataDir === ".sluice" ? "" : ` --data ${dataDir}`}`,
    ``,
    `Ctrl-C stops all of it.`,
  ]);
}

interface DemoPlaces {
  readonly dataDir: string;
  /** The certificate file that ingress shows, where it has one: that makes curl trust it. */
  readonly certificate?: string | undefined;
}

/** The same with what a newcomer can try at once. */
export function describeDemo(house: House, demo: Demo, { dataDir, certificate }: DemoPlaces): string {
  const agent = "sentinel-1";
  const key = demo.keys[agent] ?? "";
  const target = `${certificate === undefined ? "" : `--cacert ${certificate} `}${house.url}/mcp`;
  const data = dataDir === ".sluice" ? "" : ` --data ${dataDir}`;
  return lines([
    `Sluice is ready.`,
    ``,
    ...urlLines(house),
    `  key      ${key}   (agent ${agent})`,
    `  agents   ${relative(process.cwd(), join(dataDir, "demo.json")) || "demo.json"} holds every agent's key`,
    `  rules    ${relative(process.cwd(), join(demo.confDir, "tenants.yaml"))} (edit it: it is reloaded)`,
    ...placeLines(house, dataDir),
    ``,
    `A call that ${agent} may make:`,
    ``,
    `  SESSION=$(curl -sS ${target} -o /dev/null -D - ${headers(key)} \\`,
    `    -d '${initialize}' | tr -d '\\r' | sed -n 's/^mcp-session-id: //p')`,
    curl(target, key, call("echo", { message: "hello" }, `-H "mcp-session-id: $SESSION" `)),
    ``,
    `One that is denied:`,
    ``,
    curl(target, key, call("get-env", {})),
    ``,
    `Where it all can be seen:`,
    ``,
    `  npx sluice audit tail${data}`,
    ``,
    `Ctrl-C stops all of it.`,
  ]);
}

/** One for each ingress replica: they take the same calls. */
function urlLines(house: House): string[] {
  return house
    .of("ingress")
    .map(({ url }, index) => `  ${index === 0 ? "URL" : "   "}      ${url}/mcp   (agents: ${url}/a2a/{agent})`);
}

function placeLines({ adminUrl }: House, dataDir: string): string[] {
  return [
    `  admin    ${adminUrl} (token: adminToken in ${join(dataDir, "state.json")})`,
    `  logs     ${join(dataDir, "logs")}`,
  ];
}

const initialize = JSON.stringify({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "curl", version: "1" } },
});

interface Call {
  readonly body: string;
  readonly headers?: string;
}

function call(name: string, args: Record<string, unknown>, moreHeaders?: string): Call {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } });
  return { body, ...(moreHeaders !== undefined && { headers: moreHeaders }) };
}

function headers(key: string): string {
  return `-H 'x-agent-api-key: ${key}' -H 'content-type: application/json' -H 'accept: application/json, text/event-stream'`;
}

function curl(target: string, key: string, { body, headers: more = "" }: Call): string {
  return `  curl -sS ${target} ${more}${headers(key)} \\\n    -d '${body}'`;
}

function lines(text: string[]): string {
  return `\n${text.join("\n")}\n`;
}
