import type { A2aEndpoint } from "@sluice/contracts";
import { createAddressGuard, upstreamNetworks } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import { FakeUpstream, until, type UpstreamHandler } from "@sluice/testing";
import { createLog } from "@sluice/telemetry";
import { describe, expect, it } from "vitest";
import { AgentDirectory } from "./agent-directory.ts";
import { Agents } from "./agents.ts";

const client = { version: "1.0", binding: "JSONRPC" } as const;
const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const secret = "6c1fd6f0c4e04d5d9d2a7b1e";
const about = {
  publicCard: true,
  cardSignature: "verify" as const,
  responseTimeoutMs: 1_000,
  idleTimeoutMs: 1_000,
  forwardHeaders: [],
};
const credentials = { type: "header", headerName: "x-key", value: "${env:KEY}" } as const;

/** An agent that shows its card as told, and what is known of it. */
async function house(handler: UpstreamHandler, settings: (origin: string) => Partial<A2aEndpoint>) {
  const upstream = await FakeUpstream.start(handler);
  const origin = new URL(upstream.url).origin;
  const log = createLog("egress", "silent");
  const guard = createAddressGuard(upstreamNetworks.parse("127.0.0.1/32"));
  let now = 1_000_000;
  const agents = new Agents({
    connections: 4,
    waiting: 4,
    tokens: { reach: (url) => new GuardedServers({ guard }).reach(url), report: () => {} },
    secrets: { value: () => secret, again: () => {} },
    guard,
    breakerFailures: 0,
    breakerOpenMs: 1_000,
    log,
  });
  const directory = new AgentDirectory({ agents, log, now: () => now });
  const endpoint: A2aEndpoint = { ...about, name: "planner", credentials, ...settings(origin) };
  const section = { version: 1, toolPrefix: "never" as const, endpoints: [], agentEndpoints: [endpoint], agentIds: [] };
  agents.configure(new Map([["acme", section]]));
  const agent = agents.find("acme", "planner");
  if (agent === undefined) throw new Error("no agent");
  return {
    ...{ upstream, agents, agent, directory },
    ask: async () => await directory.interfaceFor(agent, client, trace),
    pass: (ms: number) => (now += ms),
    [Symbol.asyncDispose]: async () => {
      await agents[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

const cardAt = (path: string) => (origin: string) => ({ card: origin + path });
const offers = (origin: string, protocolVersion = "1.0") => ({
  supportedInterfaces: [{ url: `${origin}/rpc`, protocolBinding: "JSONRPC", protocolVersion }],
});
/** Shows this card at one path, and nothing elsewhere. */
const showing =
  (path: string, card: (origin: string) => unknown): UpstreamHandler =>
  ({ url, headers }, response) =>
    void (url === path
      ? response.writeHead(200, { etag: '"1"' }).end(JSON.stringify(card(`http://${headers.host ?? ""}`)))
      : response.writeHead(404).end());

describe("an agent's card", () => {
  it("is fetched once for all who need it, with the gateway's own credentials, and for a while no more", async () => {
    await using acme = await house(showing("/card", offers), cardAt("/card"));
    const found = await Promise.all([acme.ask(), acme.ask(), acme.ask()]);
    acme.pass(200_000);
    expect([...found, await acme.ask()].map(({ path }) => path)).toEqual(["/rpc", "/rpc", "/rpc", "/rpc"]);
    expect(acme.upstream.requests).toHaveLength(1);
    expect(acme.upstream.requests[0]?.headers).toMatchObject({ "x-key": secret, "a2a-version": "1.0" });
    expect(acme.upstream.requests[0]?.headers["x-verified-agent-id"]).toBeUndefined();
  });

  it("is asked for at both places where cards are", async () => {
    for (const [configured, other] of [
      ["/p/.well-known/agent-card.json", "/p/.well-known/agent.json"],
      ["/p/.well-known/agent.json", "/p/.well-known/agent-card.json"],
    ] as const) {
      await using acme = await house(showing(other, offers), cardAt(configured));
      expect((await acme.ask()).path).toBe("/rpc");
      expect(acme.upstream.requests.map(({ url }) => url)).toEqual([configured, other]);
    }
  });

  it("that is older than a few minutes serves on, while it is looked at once whether it changed", async () => {
    await using acme = await house(showing("/card", offers), cardAt("/card"));
    await acme.ask();
    acme.upstream.handler = ({ headers }, response) =>
      void response
        .writeHead(headers["if-none-match"] === '"1"' ? 200 : 500)
        .end(JSON.stringify(offers(`http://${headers.host ?? ""}`, "0.3")));
    acme.pass(300_001);
    expect((await acme.ask()).dialect.version).toBe("1.0");
    expect((await acme.ask()).dialect.version).toBe("1.0");
    await until("the new card", async () => (await acme.ask()).dialect.version === "0.3");
    expect(acme.upstream.requests).toHaveLength(2);
  });

  it("is fetched anew where the agent does not answer as it has it, though not at every failure", async () => {
    await using acme = await house(showing("/card", offers), cardAt("/card"));
    await acme.ask();
    acme.directory.doubt(acme.agent);
    await acme.ask();
    expect(acme.upstream.requests).toHaveLength(1);
    acme.pass(30_001);
    acme.directory.doubt(acme.agent);
    await acme.ask();
    await until("a second look", () => acme.upstream.requests.length === 2);
  });

  it.each<[string, UpstreamHandler, string]>([
    ["redirects", (_request, response) => void response.writeHead(302, { location: "/card2" }).end(), "it answers 302"],
    ["fails", (_request, response) => void response.writeHead(500).end(secret), "it answers 500"],
    ["refuses", (_request, response) => void response.writeHead(401).end(), "refuses the gateway's credentials"],
    ["is text", (_request, response) => void response.end("<html>"), "cannot be read"],
    ["is a list", (_request, response) => void response.end("[]"), "is no JSON object"],
    ["is too large", (_request, response) => void response.end(`"${"x".repeat(1_100_000)}"`), "more than 524288 bytes"],
    ["breaks off", (_request, response) => void response.destroy(), "could not be reached or broke off"],
  ])("that %s is told as 502 and asked for again only after some seconds", async (_title, handler, why) => {
    await using acme = await house(handler, cardAt("/card"));
    const failure = await acme.ask().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ kind: "upstream_failed", message: expect.stringContaining(why) });
    expect(JSON.stringify(failure)).not.toContain(secret);
    await expect(acme.ask()).rejects.toBe(failure);
    expect(acme.upstream.requests).toHaveLength(1);
    expect(acme.agents.problems).toEqual([expect.stringContaining(why)]);
    acme.upstream.handler = showing("/card", offers);
    acme.pass(3_001);
    expect((await acme.ask()).path).toBe("/rpc");
    expect(acme.agents.problems).toEqual([]);
  });

  it("that offers nothing usable closes the agent, and says where it would have credentials go", async () => {
    const elsewhere = () => offers("https://elsewhere.example");
    await using acme = await house(showing("/card", elsewhere), cardAt("/card"));
    await expect(acme.ask()).rejects.toMatchObject({ kind: "upstream_failed" });
    expect(acme.agents.closed).toMatchObject([{ tenant: "acme", server: "planner", protocol: "a2a" }]);
    expect(acme.agents.problems[0]).toContain("https://elsewhere.example");
  });

  it("is held to the revision and binding of the configuration", async () => {
    await using acme = await house(showing("/card", offers), (origin) => ({ card: `${origin}/card`, version: "0.3" }));
    await expect(acme.ask()).rejects.toThrow("offers no interface of 0.3");
  });

  it("is not asked for where the configuration has the address", async () => {
    await using acme = await house(showing("/card", offers), (origin) => ({ url: `${origin}/rpc?x=1` }));
    expect(await acme.ask()).toEqual({ dialect: client, path: "/rpc?x=1" });
    expect(acme.upstream.requests).toHaveLength(0);
  });
});
