import { parse } from "yaml";
import { describe, expect, it } from "vitest";
import { createAddressGuard } from "@sluice/net";
import { cutSections } from "./cut-sections.ts";
import { readConf } from "./read-conf.ts";

const confWith = (audit: string, authentication = "[{ type: apiKey, headerName: x-team-login }]") => `tenants:
  acme:
    authentication: ${authentication}
    mcp: { endpoints: [{ name: main, url: "https://main.example.com/mcp" }] }
    audit:
      ${audit.split("\n").join("\n      ")}
`;
const read = (text: string) => readConf(text, { file: "t.yaml", guard: createAddressGuard([]) });
const refusalOf = (audit: string): string => {
  try {
    read(confWith(audit));
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};
const request = (...fields: string[]) => `captureFields: { request: [${fields.join(", ")}] }`;

describe("captureFields", () => {
  it.each([
    [
      "a path that is none",
      'captureFields:\n  request:\n    - jsonPath: "params.name"\n      as: a',
      "t.yaml:8:24: tenants.acme.audit.captureFields.request.0.jsonPath: expected",
    ],
    [
      "one in seed 001's language",
      request('{ jsonPath: "#[payload.params.name]", as: a }'),
      "did you mean $.params.name?",
    ],
    ["one with a pattern", request("{ jsonPath: \"$..[?match(@.a, 'x')]\", as: a }"), "patterns are not available"],
    ["neither header nor path", request("{ as: a }"), "give header or jsonPath, one of them"],
    ["both", request('{ jsonPath: "$.a", header: x-a, as: a }'), "give header or jsonPath, one of them"],
    [
      "a method that there is not",
      request('{ jsonPath: "$.a", as: a, onPath: /a2a/tasks/sent }'),
      "did you mean /a2a/tasks/send?",
    ],
    [
      "a name twice",
      request('{ jsonPath: "$.a", as: a }', '{ jsonPath: "$.b", as: a, onPath: /mcp/tools/call }'),
      "request.0 has this name already",
    ],
    [
      "a name twice by two names of one operation",
      request(
        '{ jsonPath: "$.a", as: a, onPath: /a2a/tasks/send }',
        '{ jsonPath: "$.b", as: a, onPath: /a2a/SendMessage }',
      ),
      "request.1.as: captureFields.request.0 has this name already",
    ],
    [
      "an answer's name that is a request's",
      'captureFields: { request: [{ jsonPath: "$.a", as: a }], response: [{ jsonPath: "$.b", as: a }] }',
      "response.0.as: captureFields.request.0 has this name already",
    ],
    ["a name of JavaScript's", request('{ jsonPath: "$.a", as: __proto__ }'), "has a meaning of its own"],
    ["a header field that the gateway drops", request("{ header: x-verified-agent-team, as: a }"), "never comes"],
    ["header fields of answers", "captureFields: { response: [{ header: x-a, as: a }] }", "header"],
    ["a misspelt key", request('{ jsonpath: "$.a", as: a }'), "did you mean jsonPath?"],
  ])("refuse %s", (_what, audit, reason) => {
    expect(refusalOf(audit)).toContain(reason);
  });

  it.each([
    "Authorization",
    "proxy-authorization",
    "Cookie",
    "x-agent-api-key",
    "X-Team-Login",
    "x-auth-token",
    "x-client-secret",
    "Mcp-Session-Id",
    "x-signature",
    "x-forwarded-client-cert",
  ])("A31: refuse the header field %s, which holds a credential", (header) => {
    expect(refusalOf(request(`{ header: ${header}, as: a }`))).toContain("never captured");
  });

  it("take the same name on paths that no call is at once", () => {
    const fields = ["/mcp/tools/call", "/mcp/prompts/get"].map(
      (path) => `{ jsonPath: "$.params.name", as: name, onPath: ${path} }`,
    );
    expect(refusalOf(request(...fields))).toBe("");
  });
});

describe("what services are given", () => {
  const kept = (audit: string) => {
    const { ingress, egress } = cutSections(read(confWith(audit)), 1);
    return [ingress.get("acme"), egress.get("acme")].map((section) => section?.kept);
  };

  it("is nothing where nothing is configured, and each its own part else", () => {
    expect(kept("{}")).toEqual([undefined, undefined]);
    expect(kept(request('{ jsonPath: "$.a", as: a }'))).toEqual([
      { fields: [parse('{ jsonPath: "$.a", as: a }')] },
      undefined,
    ]);
    expect(kept("content: { responses: true, maxBytes: 9 }")).toEqual([undefined, { fields: [], contentBytes: 9 }]);
  });
});
