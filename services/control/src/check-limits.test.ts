import { createAddressGuard } from "@sluice/net";
import { sharedBy } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import { lineOf } from "./conf-problems.ts";
import { readConf } from "./read-conf.ts";

const conf = (limits: string, { endpoints = ["main"], toolPrefix = "conditional" } = {}) => `tenants:
  acme:
    mcp:
      toolPrefix: ${toolPrefix}
      endpoints: [${endpoints.map((name) => `{ name: ${name}, url: "https://${name}.example.com/mcp" }`).join(", ")}]
    a2a: { endpoints: [{ name: planner, url: "https://planner.example.com" }] }
    limits:
      - ${limits}
`;

function read(text: string): { reasons: string[]; warnings: string[]; limits: unknown[] } {
  const warnings: string[] = [];
  try {
    const read = readConf(text, {
      file: "t.yaml",
      guard: createAddressGuard([]),
      warn: (line) => void warnings.push(lineOf(line)),
    });
    return { reasons: [], warnings, limits: read.tenants["acme"]?.limits ?? [] };
  } catch (error) {
    return { reasons: (error as Error).message.split("\n"), warnings, limits: [] };
  }
}

const seed = "#[attributes.headers['x-verified-agent-id']]";

describe("a limit", () => {
  test("is good as seed 001 writes it, and counts per agent", () => {
    const text = `{ path: /mcp/tools/call, keySelector: "${seed}", maxRequests: 60, windowSeconds: 60, burstAllowance: 10 }`;
    const { reasons, limits } = read(conf(text));
    expect(reasons).toEqual([]);
    expect(limits.map((limit) => sharedBy(limit as Parameters<typeof sharedBy>[0]))).toEqual(["agent"]);
  });

  test.each([
    ["{ path: /mcp/tools/call, maxConcurrent: 3 }"],
    ["{ path: /mcp/sse, per: tenant, maxConcurrent: 3, maxRequests: 9, windowSeconds: 1 }"],
    ["{ path: /mcp/GET, server: 'ma*', maxConcurrent: 3, name: streams }"],
    ["{ path: /a2a/tasks/send, server: planner, maxConcurrent: 3 }"],
    ["{ path: /a2a/SendMessage, maxConcurrent: 3 }"],
    ["{ path: /a2a/message/stream, maxConcurrent: 3 }"],
    ["{ path: /a2a/tasks/pushNotificationConfig/set, maxConcurrent: 3 }"],
    ["{ path: /a2a/agent-card, maxConcurrent: 3 }"],
    [`{ path: /mcp/tools/call, per: agent, keySelector: "${seed}", maxRequests: 60, windowSeconds: 60 }`],
  ])("is good with what it needs: %s", (text) => {
    expect(read(conf(text)).reasons).toEqual([]);
  });

  test.each([
    ["{ path: /mcp/tools/call }", "maxRequests: a limit needs maxRequests with windowSeconds, or maxConcurrent"],
    ["{ path: /mcp/tools/call, maxRequests: 1 }", "windowSeconds: maxRequests needs windowSeconds beside it"],
    ["{ path: /mcp/tools/call, maxConcurrent: 1, windowSeconds: 1 }", "windowSeconds needs maxRequests beside it"],
    [
      "{ path: /mcp/tools/call, maxRequests: 0, windowSeconds: 1, burstAllowance: 1 }",
      "burstAllowance: a burst needs maxRequests above 0",
    ],
    ["{ path: /mcp/tools/call, maxConcurrent: 0 }", "maxConcurrent: "],
    ["{ path: /mcp/tools/call, maxConcurrent: 1, per: tool }", "limits.0.per: "],
    [
      `{ path: /mcp/tools/call, maxConcurrent: 1, keySelector: "#[attributes.headers['x-tenant']]" }`,
      `keySelector: must be one of ${seed}`,
    ],
    [
      `{ path: /mcp/tools/call, maxConcurrent: 1, per: tenant, keySelector: "${seed}" }`,
      "says something else than per: tenant",
    ],
    ["{ path: /mcp/tools/call, maxConcurrent: 1, server: mian }", "server: mian fits no endpoint of this tenant"],
    ["{ path: /a2a/SendMessage, maxConcurrent: 1, server: main }", "server: main fits no endpoint of this tenant"],
    ["{ path: /mcp/tools/call, maxConcurrent: 1, server: planner }", "server: planner fits no endpoint of this tenant"],
    ["{ path: /a2a/SendMessage, maxConcurrent: 1, tool: x }", "tool: agents have no tools"],
    ["{ path: /a2a/message/sent, maxConcurrent: 1 }", "did you mean /a2a/message/send?"],
    ["{ path: /mcp/tools/call, maxConcurent: 1 }", "did you mean maxConcurrent"],
    [
      "{ path: /mcp/tools/call, maxConcurrent: 1, name: a }\n      - { path: /mcp/GET, maxConcurrent: 1, name: a }",
      "limits.1.name: another limit of this tenant has this name already",
    ],
  ])("that cannot be meant is refused with what to do: %s", (text, reason) => {
    expect(read(conf(text)).reasons.join("\n")).toContain(reason);
  });

  test("of one server among several is warned of, unless every name says its server", () => {
    const text = "{ path: /mcp/tools/call, server: one, maxConcurrent: 1 }";
    const endpoints = ["one", "two"];
    expect(read(conf(text, { endpoints })).warnings.join("\n")).toMatch(
      /limits\.0\.server: counts calls at \/mcp without/,
    );
    expect(read(conf(text, { endpoints, toolPrefix: "always" }))).toMatchObject({ reasons: [], warnings: [] });
    expect(read(conf(text, { endpoints: ["one"] }))).toMatchObject({ reasons: [], warnings: [] });
  });
});
