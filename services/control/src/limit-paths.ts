import { a2aMethodNames } from "@sluice/contracts";
import { nearest } from "./nearest-key.ts";

/** What agents send in any revision of MCP, 2024-11-05 to 2026-07-28. */
const mcpMethods = [
  ...["initialize", "ping", "server/discover", "completion/complete", "logging/setLevel"],
  ...["tools/list", "tools/call", "prompts/list", "prompts/get"],
  ...["resources/list", "resources/read", "resources/templates/list", "resources/subscribe", "resources/unsubscribe"],
  ...["subscriptions/listen", "tasks/get", "tasks/list", "tasks/result", "tasks/update", "tasks/cancel"],
  ...["notifications/initialized", "notifications/cancelled", "notifications/progress"],
  ...["notifications/roots/list_changed"],
];
/** What a message without a method, and a request without a message, counts as; `sse` opens an HTTP+SSE client's stream. */
const withoutMethod = ["response", "GET", "DELETE", "sse"];

const known = new Map([
  ["mcp", new Set([...mcpMethods, ...withoutMethod])],
  ["a2a", new Set(Object.values(a2aMethodNames).flat())],
]);

/** Why nothing ever comes this way, and what follows from that; undefined where something does. */
export function pathRefusal(path: string, so = "so the limit would count nothing"): string | undefined {
  const [, protocol = "", method = ""] = /^\/([^/]+)\/(.+)$/.exec(path) ?? [];
  const methods = known.get(protocol) ?? new Set();
  if (methods.has(method)) return undefined;
  const meant = nearest(method, methods);
  const hint = meant === undefined ? "write it like /mcp/tools/call" : `did you mean /${protocol}/${meant}?`;
  return `no agent calls this method, ${so}; ${hint}`;
}
