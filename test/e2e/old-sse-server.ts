/* oxlint-disable typescript/no-deprecated -- the old transport is what is tried */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { z } from "zod";

/** A server of the official 1.x SDK that speaks the old HTTP+SSE transport (2024-11-05) alone. */
export interface OldSseServer extends AsyncDisposable {
  readonly url: string;
  readonly connections: () => number;
}

export async function startOldSseServer(tls?: ServerOptions): Promise<OldSseServer> {
  const open = new Map<string, SSEServerTransport>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    if (request.method === "GET" && url.pathname === "/sse") {
      const transport = new SSEServerTransport("/messages", response);
      open.set(transport.sessionId, transport);
      response.once("close", () => open.delete(transport.sessionId));
      void buildServer().connect(transport);
      return;
    }
    const transport = open.get(url.searchParams.get("sessionId") ?? "");
    if (request.method === "POST" && url.pathname === "/messages" && transport !== undefined)
      return void transport.handlePostMessage(request, response);
    response.writeHead(404).end();
  };
  const http = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
  const listening = Promise.withResolvers<void>();
  http.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    url: `http${tls === undefined ? "" : "s"}://127.0.0.1:${(http.address() as AddressInfo).port}/sse`,
    connections: () => open.size,
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function buildServer(): McpServer {
  const server = new McpServer({ name: "old-fixture", version: "1.0.0" });
  server.registerTool("old_shout", { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: "text", text: text.toUpperCase() }],
  }));
  server.registerTool("old_ask", {}, async () => {
    const { content } = await server.server.createMessage({
      messages: [{ role: "user", content: { type: "text", text: "?" } }],
      maxTokens: 3,
    });
    return { content: [{ type: "text", text: `asked: ${JSON.stringify(content)}` }] };
  });
  return server;
}
