import { expect, it } from "vitest";
import { plainStatus } from "./plain-status.ts";
import { RpcError } from "./rpc.ts";

it.each([
  [404, -32602, "Unknown tool: nope"],
  [404, -32602, "MCP error -32602: Tool nope not found"],
  [404, -32602, "Resource file:///x not found"],
  [404, -32602, "No such tool"],
  [404, -32002, "Resource not found"],
  [404, -32601, "Method not found: resources/read"],
  [400, -32602, "Invalid arguments for tool get-sum"],
  [502, -32603, "Unknown tool database"],
  [502, -32000, "out of order"],
  [502, 1403, "not authorized"],
])("tells %i for the error %i, %s", (status, code, message) => {
  expect(plainStatus(new RpcError(code, message), "tools/call")).toBe(status);
});

it("tells 400 for a cursor that is not known: the path exists", () => {
  expect(plainStatus(new RpcError(-32602, "the cursor is unknown"), "tools/list")).toBe(400);
});
