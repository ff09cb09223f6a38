import { resolve } from "node:path";
import { expect, it } from "vitest";
import { clientConfig, clientNames, type ClientName } from "./client-config.ts";

const command = ["/bin/node", "/opt/sluice.mjs"] as const;
const configOf = (name: ClientName, env: NodeJS.ProcessEnv = {}, stdio = false) =>
  JSON.parse(clientConfig(name, { env, stdio, command })) as unknown;
const url = "http://127.0.0.1:8765/mcp";
const started = {
  command: "/bin/node",
  args: ["/opt/sluice.mjs", "proxy", "--stdio"],
  env: {
    MCP_UPSTREAM_URL: "https://mcp.example.com/mcp",
    MCP_API_KEY: "your-key-id",
    MCP_API_SECRET_FILE: "/path/of/your/secret",
  },
};

it("has the shape that each client reads; Claude Desktop takes commands alone", () => {
  expect(configOf("claude")).toEqual({ mcpServers: { sluice: started } });
  expect(configOf("claude-code")).toEqual({ mcpServers: { sluice: { type: "http", url } } });
  expect(configOf("vscode")).toEqual({ servers: { sluice: { type: "http", url } } });
  expect(configOf("cursor")).toEqual({ mcpServers: { sluice: { url } } });
  expect(configOf("vscode", {}, true)).toEqual({ servers: { sluice: { type: "stdio", ...started } } });
});

it("takes over what is set, files by their absolute path and never as a variable that an editor would replace", () => {
  const env = {
    MCP_UPSTREAM_URL: "https://mcp.example.org/v1/",
    MCP_API_KEY: "me",
    MCP_API_SECRET: "${file:secret}",
    SIGNING_MODE: "strict",
    PORT: "1",
  };
  expect(configOf("vscode", env, true)).toMatchObject({
    servers: {
      sluice: {
        env: {
          MCP_UPSTREAM_URL: "https://mcp.example.org/v1/",
          MCP_API_KEY: "me",
          MCP_API_SECRET_FILE: resolve("secret"),
          SIGNING_MODE: "strict",
        },
      },
    },
  });
});

it("A31: holds no secret, whatever is set", () => {
  const env = { MCP_UPSTREAM_URL: "https://me:hunter2@x/mcp", MCP_API_SECRET: "canary-secret-0123456789" };
  for (const name of clientNames)
    expect(JSON.stringify([configOf(name, env), configOf(name, env, true)])).not.toMatch(/hunter2|canary/);
});

it("names an address that can be connected to", () => {
  const urlWith = (env: NodeJS.ProcessEnv) => configOf("cursor", env);
  expect(urlWith({ HOST: "::1", PORT: "1" })).toEqual({ mcpServers: { sluice: { url: "http://[::1]:1/mcp" } } });
  expect(urlWith({ HOST: "0.0.0.0" })).toEqual({ mcpServers: { sluice: { url } } });
  expect(() => urlWith({ PORT: "0" })).toThrow("set HOST and PORT");
});
