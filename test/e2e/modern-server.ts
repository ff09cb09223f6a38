import { createServer, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { toNodeHandler, type NodeIncomingMessageLike } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

/** A server of the official 2.x SDK that speaks the modern era alone. */
export interface ModernServer extends AsyncDisposable {
  readonly url: string;
}

export async function startModernServer(tls?: ServerOptions): Promise<ModernServer> {
  const handler = createMcpHandler(buildServer, { legacy: "reject" });
  const serve = toNodeHandler(handler);
  const answer = (request: unknown, response: ServerResponse) =>
    void serve(request as NodeIncomingMessageLike, response);
  const http = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  const listening = Promise.withResolvers<void>();
  http.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    url: `http${tls === undefined ? "" : "s"}://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    [Symbol.asyncDispose]: async () => {
      await handler.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function buildServer(): McpServer {
  const server = new McpServer({ name: "modern-fixture", version: "1.0.0" });
  server.registerTool("shout", { inputSchema: z.object({ text: z.string() }) }, ({ text }) => ({
    content: [{ type: "text", text: text.toUpperCase() }],
  }));
  server.registerTool("refuse", { inputSchema: z.object({}) }, () => ({
    content: [{ type: "text", text: "no" }],
    isError: true,
  }));
  server.registerTool("count", { inputSchema: z.object({ to: z.number() }) }, async ({ to }, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    for (let progress = 1; progressToken !== undefined && progress <= to; progress++) {
      await context.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: to } });
    }
    return { content: [{ type: "text", text: `counted to ${to}` }] };
  });
  server.registerTool("forbidden", { inputSchema: z.object({}) }, () => ({
    content: [{ type: "text", text: "never" }],
  }));
  for (const name of ["brief", "secret-plan"]) {
    server.registerPrompt(name, {}, () => ({
      messages: [{ role: "user", content: { type: "text", text: `prompt ${name}` } }],
    }));
  }
  for (const uri of ["notes://desk/open", "notes://desk/secret"]) {
    server.registerResource(uri, uri, {}, () => ({ contents: [{ uri, text: `read ${uri}` }] }));
  }
  return server;
}
