import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeHandler, type NodeIncomingMessageLike } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { McpServer as LegacyMcpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

/** A server of the official SDK whose tools change while it runs. */
export interface ChangingServer extends AsyncDisposable {
  readonly url: string;
  /** Name → description. */
  readonly tools: Map<string, string>;
  /** Tools that were called. */
  readonly called: string[];
  /** How often tools were listed. */
  listed: number;
  /** Says to every session that its tools have changed. */
  sayChanged(): void;
}

/** Keeps sessions, and speaks the legacy era alone (SDK 1.x). */
export async function startLegacyChanging(tools: Record<string, string>): Promise<ChangingServer> {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const servers: LegacyMcpServer[] = [];
  const state = stateOf(tools);
  const open = async () => {
    const mcp = new LegacyMcpServer(
      { name: "changing", version: "1" },
      { capabilities: { tools: { listChanged: true } } },
    );
    mcp.server.setRequestHandler(ListToolsRequestSchema, () => {
      state.listed++;
      return { tools: [...state.tools].map(([name, description]) => ({ name, description, inputSchema })) };
    });
    mcp.server.setRequestHandler(CallToolRequestSchema, ({ params }) => answerOf(state, params.name));
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      enableJsonResponse: true,
      onsessioninitialized: (id) => void sessions.set(id, transport),
    });
    await mcp.connect(transport as Parameters<LegacyMcpServer["connect"]>[0]);
    servers.push(mcp);
    return transport;
  };
  const serve = async (request: IncomingMessage, response: Parameters<RequestListener>[1]) => {
    const id = request.headers["mcp-session-id"];
    const known = sessions.get(String(id));
    if (id !== undefined && known === undefined) return void response.writeHead(404).end();
    await (known ?? (await open())).handleRequest(request, response);
  };
  return await listening(
    state,
    (request, response) => void serve(request, response),
    () => servers.forEach((mcp) => mcp.sendToolListChanged()),
  );
}

/** Speaks the modern era (SDK 2.x), and the legacy one too where asked to. */
export async function startModernChanging(
  tools: Record<string, string>,
  legacy: "reject" | "stateless" = "reject",
): Promise<ChangingServer> {
  const state = stateOf(tools);
  const build = () => {
    const server = new McpServer({ name: "changing", version: "1" });
    for (const [name, description] of state.tools)
      server.registerTool(name, { description, inputSchema: z.object({}) }, () => answerOf(state, name));
    return server;
  };
  const serve = toNodeHandler(createMcpHandler(build, { legacy }));
  return await listening(
    state,
    (request, response) => {
      if (request.headers["mcp-method"] === "tools/list") state.listed++;
      void serve(request as NodeIncomingMessageLike, response);
    },
    () => {},
  );
}

type State = Pick<ChangingServer, "tools" | "called" | "listed">;

const inputSchema = { type: "object" as const };

function stateOf(tools: Record<string, string>): State {
  return { tools: new Map(Object.entries(tools)), called: [], listed: 0 };
}

function answerOf(state: State, name: string) {
  state.called.push(name);
  return { content: [{ type: "text" as const, text: `did ${name}` }] };
}

async function listening(state: State, serve: RequestListener, sayChanged: () => void): Promise<ChangingServer> {
  const http = createServer(serve);
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return Object.assign(state, {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    sayChanged,
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  });
}
