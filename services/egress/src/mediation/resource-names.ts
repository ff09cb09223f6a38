import { isObject, type Members } from "./rpc.ts";
import type { Route } from "./route.ts";

type Rename = (uri: string) => string;

/**
 * Gives the resources that a tool or prompt of one server speaks of (links and embedded ones) the names that the shared
 * address lists them by: what the agent reads by that name is then that server's.
 */
export async function renameResources(route: Route, server: string, result: Members): Promise<Members> {
  const seen: string[] = [];
  rewrite(result, (uri) => {
    seen.push(uri);
    return uri;
  });
  if (seen.length === 0) return result;
  const names = await route.resourceNames(server);
  return rewrite(result, names);
}

function rewrite(result: Members, rename: Rename): Members {
  const { content, messages } = result;
  return {
    ...result,
    ...(Array.isArray(content) && { content: content.map((block) => renamed(block, rename)) }),
    ...(Array.isArray(messages) && {
      messages: messages.map((message: unknown) =>
        isObject(message) ? { ...message, content: renamed(message["content"], rename) } : message,
      ),
    }),
  };
}

function renamed(block: unknown, rename: Rename): unknown {
  if (Array.isArray(block)) return block.map((one) => renamed(one, rename));
  if (!isObject(block)) return block;
  const { type, uri, resource } = block;
  if (type === "resource_link" && typeof uri === "string") return { ...block, uri: rename(uri) };
  if (type !== "resource" || !isObject(resource) || typeof resource["uri"] !== "string") return block;
  return { ...block, resource: { ...resource, uri: rename(resource["uri"]) } };
}
