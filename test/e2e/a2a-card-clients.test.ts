import { generateKeyPairSync } from "node:crypto";
import { canonicalJson } from "@sluice/json";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { createLocalJWKSet, exportJWK, flattenedVerify, FlattenedSign, type JSONWebKeySet } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type AgentVersion, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { clientDialects, connectClient } from "../conformance-a2a/clients/clients.ts";
import { CardAgent, modernCard } from "./card-agent.ts";
import { as, send } from "./http.ts";

const stack = new AsyncDisposableStack();
const versions = ["1.0", "0.3", "0.2", "0.1"] as const satisfies AgentVersion[];
const nameOf = (version: string) => `v${version.replace(".", "")}`;
const agents = {} as Record<(typeof versions)[number], ReferenceAgent>;
const signer = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = (key: typeof signer) => key.publicKey.export({ type: "spki", format: "pem" }).toString();
let signing: CardAgent;
let house: TestHouse;

const signed = async (card: object, by: typeof signer, jku?: string) => {
  const payload = Buffer.from(canonicalJson(card));
  const header = { alg: "ES256", typ: "JOSE", kid: "k-1", ...(jku !== undefined && { jku }) };
  const { protected: given, signature } = await new FlattenedSign(payload)
    .setProtectedHeader(header)
    .sign(by.privateKey);
  return { ...card, signatures: [{ protected: given, signature }] };
};

beforeAll(async () => {
  for (const version of versions) agents[version] = stack.use(await startAgent(version));
  signing = stack.use(await CardAgent.start());
  const card = modernCard(signing.url);
  const jku = `${signing.url}/keys`;
  signing.show({ keys: [{ ...(await exportJWK(signer.publicKey)), kid: "k-1" }] }, "/keys");
  signing.show(card, "/unsigned.json");
  signing.show(await signed(card, signer, jku), "/good.json");
  signing.show({ ...(await signed(card, signer, jku)), name: "Changed" }, "/changed.json");
  signing.show(await signed(card, stranger, jku), "/stranger.json");
  signing.show(await signed(card, stranger, "https://elsewhere.example.com/keys"), "/elsewhere.json");
  const documents = ["unsigned", "good", "changed", "stranger", "elsewhere"];
  const at = (document: string) => ({ card: `${signing.url}/${document}.json` });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1"],
          a2a: {
            endpoints: [
              ...versions.map((version) => ({ name: nameOf(version), card: agents[version].cardUrl })),
              ...documents.map((name) => ({ name, ...at(name) })),
              ...documents.map((name) => ({ name: `must-${name}`, ...at(name), cardSignature: "required" })),
              { name: "pinned", ...at("good"), cardSignature: "required", cardKeys: [pem(signer)] },
              { name: "mispinned", ...at("good"), cardSignature: "required", cardKeys: [pem(stranger)] },
            ],
          },
          accessRules: [{ agentPattern: "*", deniedSkills: ["secret"] }],
        },
      },
      envOf: {
        ingress: {
          CARD_SIGNING_KEY: JSON.stringify({ ...stranger.privateKey.export({ format: "jwk" }), kid: "gateway-1" }),
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const key = () => as(house.key("a-1")) as Record<string, string>;
const cardOf = (name: string) =>
  send(`${house.house.url}/a2a/${name}/.well-known/agent-card.json`, { method: "GET", headers: key() });

describe("clients that know nothing but a card's address", () => {
  it.each(clientDialects)(
    "of $version $binding call an agent of their revision, and only through the gateway",
    async (dialect) => {
      const { version } = dialect;
      const { ledger } = agents[version];
      const client = await connectClient(dialect, {
        baseUrl: `${house.house.url}/a2a/${nameOf(version)}`,
        headers: key(),
      });
      const { urls, name } = await client.card();
      expect(name).toBe(`Reference ${version}`);
      expect(urls.length).toBeGreaterThan(0);
      for (const url of urls) expect(url).toBe(`${house.house.url}/a2a/${nameOf(version)}`);
      const before = ledger.hits;
      const seen = await client.send({ pieces: [{ text: "echo hello" }] });
      expect(JSON.stringify(seen)).toContain("hello");
      expect(ledger.hits).toBe(before + 1);
      expect(ledger.exchanges.at(-1)?.headers["x-verified-agent-id"]).toBe("a-1");
    },
  );

  it.each(clientDialects.filter(({ version }) => version === "1.0" || version === "0.3"))(
    "of $version $binding get the extended card with the gateway's address and without skills that are hidden",
    async (dialect) => {
      const name = nameOf(dialect.version);
      const client = await connectClient(dialect, { baseUrl: `${house.house.url}/a2a/${name}`, headers: key() });
      const card = await client.extendedCard?.();
      expect(card?.skills.length).toBeGreaterThan(0);
      expect(card?.skills).not.toContain("secret");
      expect(new Set(card?.urls)).toEqual(new Set([`${house.house.url}/a2a/${name}`]));
      const exchange = agents[dialect.version].ledger.exchanges.at(-1);
      expect(exchange?.answer.body.toString()).toContain(agents[dialect.version].url);
    },
  );
});

describe("an agent's signature", () => {
  it("that is good, by the keys of its origin or those that are configured, is replaced by the gateway's", async () => {
    const keys = JSON.parse(
      (await send(`${house.house.url}/.well-known/jwks.json`, { method: "GET" })).text,
    ) as JSONWebKeySet;
    for (const name of ["good", "must-good", "pinned", "unsigned"]) {
      const { status, text } = await cardOf(name);
      expect([name, status]).toEqual([name, 200]);
      const { signatures, ...card } = JSON.parse(text);
      const payload = Buffer.from(canonicalJson(card)).toString("base64url");
      const { protectedHeader } = await flattenedVerify({ ...signatures[0], payload }, createLocalJWKSet(keys));
      expect(protectedHeader?.kid).toBe("gateway-1");
    }
    expect(signing.asked.map(({ path }) => path)).toContain("/keys");
  });

  it("that is not, never passes silently: the gateway does not sign, and where a good one is required shows nothing", async () => {
    for (const name of ["changed", "stranger", "elsewhere"]) {
      const { status, text } = await cardOf(name);
      expect([name, status, JSON.parse(text).signatures]).toEqual([name, 200, undefined]);
      const required = await cardOf(`must-${name}`);
      expect([name, required.status]).toEqual([name, 502]);
    }
    for (const name of ["must-unsigned", "mispinned"]) expect((await cardOf(name)).status).toBe(502);
    const logs = await house.logs();
    expect(logs).toContain("the card's signature is not a good one");
    expect(logs).toContain("a good signature is required: it is not signed");
    const call = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "GetTask", params: { id: "t" } });
    const headers = { ...key(), "a2a-version": "1.0", "content-type": "application/json" };
    const { text } = await send(`${house.house.url}/a2a/must-changed`, { headers, body: call });
    expect(text).toContain("error");
    expect(signing.asked.filter(({ path }) => path === "/rpc")).toEqual([]);
  });
});
