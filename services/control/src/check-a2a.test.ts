import { generateKeyPairSync } from "node:crypto";
import { createAddressGuard } from "@sluice/net";
import { stringify } from "yaml";
import { describe, expect, it } from "vitest";
import { lineOf } from "./conf-problems.ts";
import { readConf } from "./read-conf.ts";

const source = { file: "tenants.yaml", guard: createAddressGuard([]) };
const planner = { name: "planner", card: "https://planner.example.com/card" };
const agents = (endpoints: unknown, more: object = {}) => ({ a2a: { endpoints, ...more } });
const written = (tenants: object) => stringify({ tenants });

function toldOf(tenants: object): string {
  const warnings: string[] = [];
  try {
    readConf(written(tenants), { ...source, warn: (warning) => void warnings.push(lineOf(warning)) });
  } catch (error) {
    return (error as Error).message;
  }
  return warnings.join("\n");
}

const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "pem" });

describe("a2a of a tenant", () => {
  it("is taken where it is right", () => {
    const endpoints = [
      { ...planner, cardSignature: "required", cardKeys: [key], publicCard: false },
      { name: "coder", url: "https://coder.example.com", version: "0.3", binding: "HTTP+JSON" },
    ];
    expect(toldOf({ acme: agents(endpoints, { defaultAgent: "coder" }) })).toBe("");
  });

  it.each([
    [
      "a default that is no endpoint",
      agents([planner], { defaultAgent: "planer" }),
      "none of a2a.endpoints; did you mean planner?",
    ],
    [
      "a key that is none",
      agents([{ ...planner, cardKeys: ["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] }]),
      "no public key",
    ],
    [
      "a private key",
      agents([{ ...planner, cardKeys: ["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] }]),
      "must be a public key in PEM",
    ],
    [
      "a signature that nobody would look for",
      agents([{ name: "a", url: "https://a.example.com", cardSignature: "required" }]),
      "required needs card",
    ],
    [
      "REST before there was any",
      agents([{ ...planner, version: "0.2", binding: "HTTP+JSON" }]),
      "no HTTP+JSON in 0.2",
    ],
    ["the same name twice", agents([planner, planner]), "another endpoint of this tenant has this name"],
    [
      "a name that is a path of the gateway's",
      agents([{ ...planner, name: "agent-card" }]),
      "is a path of the gateway's own",
    ],
    ["a misspelt key", agents([{ ...planner, cardSignatur: "off" }]), "did you mean cardSignature?"],
    ["TLS that is not used", agents([{ name: "a", url: "http://a.example.com", tls: { caFile: "/x" } }]), "tls"],
  ])("refuses %s", (_, tenant, reason) => {
    expect(toldOf({ acme: tenant })).toContain(reason);
  });

  it.each([
    ...["http://127.1/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/", "http://[fd00::]/"],
    ...["file:///etc/passwd", "https://user:pw@planner.example.com/"],
  ])("A25: refuses %s as url and as card", (address) => {
    for (const member of ["url", "card"]) {
      const told = toldOf({ acme: agents([{ name: "planner", [member]: address }]) });
      expect(told).toMatch(new RegExp(`a2a\\.endpoints\\.0\\.${member}: `));
    }
  });

  it("warns of what has no effect", () => {
    const rule = { agentPattern: "*", allowedAgents: ["planner", "codr"], deniedAgents: ["*"] };
    expect(toldOf({ acme: { ...agents([planner]), accessRules: [rule] } })).toMatch(
      /allowedAgents\.1: codr fits no name/,
    );
    const shared = toldOf({ acme: agents([planner]), beta: agents([{ ...planner, publicCard: false }]) });
    expect(shared).toMatch(/acme\.a2a\.endpoints\.0\.name: tenant beta has an agent of this name too/);
    expect(shared).not.toContain("tenant acme has");
  });
});
