import { describe, expect, it } from "vitest";
import { mostCardBytes, readCard } from "./card.ts";
import { renderCard, type CardPlace } from "./card-render.ts";
import type { SecurityScheme } from "./card-security.ts";
import { cards } from "./card-test-data.ts";

const bytesOf = (card: unknown) => Buffer.from(typeof card === "string" ? card : JSON.stringify(card));
const read = (card: unknown) => readCard(bytesOf(card));
const schemes: SecurityScheme[] = [
  { type: "apiKey", header: "x-agent-api-key" },
  { type: "openIdConnect", url: "https://login.example.com/.well-known/openid-configuration", scopes: ["a2a"] },
  { type: "mutualTLS" },
];
const url = "https://gateway.example.com/a2a/planner";
const place: CardPlace = { url, schemes, shows: () => true, pushes: true };

describe("agents' cards of every revision", () => {
  it("become cards of every form that name no address but the gateway's", () => {
    for (const card of Object.values(cards))
      for (const form of ["1.0", "0.3", "both", "old"] as const) {
        const text = JSON.stringify(renderCard(read(card), form, place));
        expect(text).not.toContain("planner.internal");
        expect(text).not.toContain("GRPC");
        expect(text).toContain(url);
        expect(text).toContain("x-agent-api-key");
        expect(text).toContain("unknown-member");
      }
  });

  it("are of 1.0 to clients of 1.0, whatever the agent's are", () => {
    for (const card of Object.values(cards)) {
      const shown = renderCard(read(card), "1.0", place);
      expect(shown).not.toHaveProperty("url");
      expect(shown).not.toHaveProperty("security");
      expect(shown["supportedInterfaces"]).toHaveLength(4);
      expect(shown).toMatchObject({
        supportedInterfaces: [{ url, protocolVersion: "1.0" }, {}, { protocolVersion: "0.3" }, {}],
        securitySchemes: { apiKey: { apiKeySecurityScheme: { location: "header", name: "x-agent-api-key" } } },
        securityRequirements: [
          { schemes: { apiKey: { list: [] } } },
          { schemes: { openIdConnect: { list: ["a2a"] } } },
          {},
        ],
        capabilities: { streaming: true },
      });
      expect(shown["capabilities"]).not.toHaveProperty("stateTransitionHistory");
    }
    expect(renderCard(read(cards["0.3"]), "1.0", place)).toMatchObject({ capabilities: { extendedAgentCard: true } });
  });

  it("are of 0.3 to clients of 0.3, and of 0.2 and 0.1 to older ones", () => {
    const shown = renderCard(read(cards["1.0"]), "0.3", place);
    expect(shown).toMatchObject({
      ...{ url, preferredTransport: "JSONRPC", protocolVersion: "0.3.0", supportsAuthenticatedExtendedCard: true },
      additionalInterfaces: [
        { url, transport: "JSONRPC" },
        { url, transport: "HTTP+JSON" },
      ],
      securitySchemes: { apiKey: { type: "apiKey", in: "header", name: "x-agent-api-key" }, mutualTLS: {} },
      security: [{ apiKey: [] }, { openIdConnect: ["a2a"] }, { mutualTLS: [] }],
    });
    expect(shown).not.toHaveProperty("supportedInterfaces");
    const old = renderCard(read(cards["1.0"]), "old", place);
    expect(old).toMatchObject({ url, authentication: { schemes: ["apiKey", "openIdConnect", "mutualTLS"] } });
    expect(old).not.toHaveProperty("additionalInterfaces");
  });

  it("show the skills that may be seen, and push notifications where the gateway has them", () => {
    const shown = renderCard(read(cards["1.0"]), "1.0", { ...place, shows: (id) => id === "plan", pushes: false });
    expect(shown["skills"]).toEqual([expect.objectContaining({ id: "plan", tags: ["x"], "unknown-member": 1 })]);
    expect(JSON.stringify(shown["skills"])).not.toContain("securityRequirements");
    expect(shown["capabilities"]).toMatchObject({ pushNotifications: false });
  });

  it("keep the agent's order of bindings", () => {
    const card = { ...cards["0.3"], preferredTransport: "HTTP+JSON" };
    expect(renderCard(read(card), "0.3", place)["preferredTransport"]).toBe("HTTP+JSON");
  });
});

describe("hostile cards", () => {
  const refused = (card: unknown) => {
    try {
      read(card);
      return "taken";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const named = { name: "x" };

  it("A13: too large, too deep, ambiguous or no card at all are refused", () => {
    expect(refused(JSON.stringify({ ...named, description: "x".repeat(mostCardBytes) }))).toContain("more than");
    expect(refused(`{"name":"x","a":${"[".repeat(5_000)}${"]".repeat(5_000)}}`)).toContain("nested too deeply");
    expect(refused('{"name":"x","name":"y"}')).toContain("same member name twice");
    expect(refused("<html>")).toContain("not valid JSON");
    for (const card of ["[]", "null", '"x"', "7", "{}", '{"name":7}'])
      expect(refused(card)).toMatch(/no JSON object|no name/);
    expect(refused({ ...named, skills: "all" })).toContain("skills that are no list");
    expect(refused({ ...named, skills: Array.from({ length: 1_001 }, () => ({ id: "a" })) })).toContain("1000 skills");
  });

  it("A13: __proto__ and constructor go nowhere", () => {
    const text = `{"name":"x","__proto__":{"polluted":1},"capabilities":{"constructor":{"prototype":{"polluted":1}}},
      "skills":[{"id":"__proto__","__proto__":{"polluted":1}}]}`;
    const shown = JSON.stringify(renderCard(read(text), "both", place));
    expect(shown).not.toContain("polluted");
    expect({}).not.toHaveProperty("polluted");
  });

  it("lose what runs where it is opened, and what is of another type", () => {
    const card = read({
      ...named,
      documentationUrl: "javascript:alert(1)",
      iconUrl: "data:text/html,x",
      provider: { organization: "Org", url: "JavaScript:alert(1)" },
      defaultInputModes: "text",
      capabilities: { streaming: "yes", extensions: [7] },
      skills: [null, 7, {}, { id: 9 }, { id: "ok", tags: "x" }],
      supportedInterfaces: [
        null,
        { url: "javascript:x", protocolBinding: "JSONRPC" },
        { url: "file:///etc/passwd", protocolBinding: "JSONRPC" },
        { url: "https://user:pw@planner.internal", protocolBinding: "JSONRPC" },
        { url: "https://planner.internal", protocolBinding: "GRPC" },
        { url: "https://planner.internal", protocolBinding: "JSONRPC", protocolVersion: "9.0" },
      ],
    });
    const shown = renderCard(card, "both", place);
    expect(JSON.stringify(shown)).not.toMatch(/javascript:|data:|internal|file:/i);
    expect(shown).toMatchObject({ provider: { organization: "Org" }, defaultInputModes: ["text/plain"] });
    expect(shown["skills"]).toEqual([{ id: "ok" }]);
    expect(shown["capabilities"]).toEqual({});
  });
});
