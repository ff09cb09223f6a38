import { jsonRpcHandler, UserBuilder } from "a2a-sdk-0.3/server/express";
import express from "express";
import { jsonRpcPath, type AgentParts, type BuiltAgent } from "./parts.ts";
import { handlerV03 } from "./v03.ts";

const cardPath = "/.well-known/agent.json";
/** Methods that came with 0.3 (0.2.6 for lists). */
const unknownMethods = new Set([
  "agent/getAuthenticatedExtendedCard",
  "tasks/pushNotificationConfig/list",
  "tasks/pushNotificationConfig/delete",
]);

/**
 * An agent of 0.2.5: JSON-RPC alone, its card at the old path without a preferred transport, its extended card by GET
 * (https://a2a-protocol.org/v0.2.5/specification, §7.10), and the wire of 0.3 but for the methods that came later.
 */
export function buildV02(parts: AgentParts): BuiltAgent {
  const requestHandler = handlerV03({ ...parts, bindings: ["JSONRPC"] });
  const older = (card: object) => ({
    ...card,
    protocolVersion: "0.2.5",
    preferredTransport: undefined,
    additionalInterfaces: undefined,
  });
  const app = express();
  app.get(cardPath, async (_request, response) => void response.json(older(await requestHandler.getAgentCard())));
  app.get("/agent/authenticatedExtendedCard", async (_request, response) => {
    response.json(older(await requestHandler.getAuthenticatedExtendedAgentCard()));
  });
  app.post(jsonRpcPath, express.json(), (request, response, next) => {
    const { id = null, method } = request.body as { id?: unknown; method?: string };
    if (method === undefined || !unknownMethods.has(method)) return next();
    response.json({ jsonrpc: "2.0", id, error: { code: -32_601, message: `Method not found: ${method}` } });
  });
  app.use(jsonRpcPath, jsonRpcHandler({ requestHandler, userBuilder: UserBuilder.noAuthentication }));
  return { listener: app, cardPath, jsonRpcPath };
}
