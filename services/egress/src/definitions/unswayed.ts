import type { Endpoint } from "@sluice/contracts";

const always = /^(?:accept-language|user-agent|mcp-param-.*)$/;

type Headers = Readonly<Record<string, string>>;

/**
 * The header fields that go along with a message: a list of tools that are held to their definitions is asked for without
 * what the client chose, so that nobody has a server show others what it never showed them.
 */
export function unswayed(
  method: unknown,
  headers: Headers,
  { toolDefinitions, forwardHeaders }: Pick<Endpoint, "toolDefinitions" | "forwardHeaders">,
): Headers {
  if (method !== "tools/list" || (toolDefinitions !== "pinned" && toolDefinitions !== "approved")) return headers;
  const isChosen = (name: string) => always.test(name) || forwardHeaders.includes(name);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isChosen(name)));
}
