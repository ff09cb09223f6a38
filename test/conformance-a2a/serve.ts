import { parseArgs } from "node:util";
import { startTestHouse } from "@sluice/testing";
import { startShim } from "../conformance/shim.ts";
import { startAgent, type AgentVersion } from "./agents/agent.ts";
import { quietly } from "./quietly.ts";

/**
 * Serves a reference agent for kits that are started apart: `--version 1.0|0.3`, and `--through` for the
 * same behind Sluice, with the key put in on the way. Says where its card is, and ends with Ctrl-C.
 */
const { values } = parseArgs({
  options: { version: { type: "string", default: "1.0" }, through: { type: "boolean", default: false } },
});
const tickMs = 3_000;
const caller = "tck";

await using stack = new AsyncDisposableStack();
const agent = stack.use(await startAgent(values.version as AgentVersion, { tickMs }));
const say = console.log.bind(console);
const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.resolve());
// The kit of 0.3 takes one address for JSON-RPC and for what the card's is below.
let target = agent.url;
const place = () => (values.through ? "/a2a/agent" : "");
const rpc = () => (values.through ? "/a2a/agent" : new URL(agent.jsonRpcUrl).pathname);
const headers: string[] = [];
const next = (path: string) => {
  if (path === "/") return new URL(rpc(), target);
  return new URL(path.startsWith("/.well-known/") ? `${place()}${path}` : path, target);
};
const shim = stack.use(await startShim({ next, headers }));
const { origin } = new URL(shim.url);
if (values.through) {
  const house = stack.use(
    await startTestHouse({
      tenants: { tck: { agents: [caller], a2a: { endpoints: [{ name: "agent", card: agent.cardUrl }] } } },
      env: { PUBLIC_URL: origin },
    }),
  );
  target = house.house.url;
  headers.push("x-agent-api-key", house.key(caller));
}
say(origin);
await quietly(() => stopped.promise);
if (values.through) say(`${agent.ledger.hits} requests reached the agent`);
