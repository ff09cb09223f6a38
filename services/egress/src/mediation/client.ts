import { metaPrefix } from "./modern-peer.ts";
import type { Client } from "./peer.ts";
import { metaOf, objectOf, textOf, type Request, type RpcMessage } from "./rpc.ts";

/** A legacy client that can be asked to fill in a form says so with an empty object. */
export function modernClient(client: Client): Client {
  const { elicitation, sampling, roots } = client.capabilities;
  const capabilities = {
    ...(elicitation !== undefined && { elicitation: isEmpty(elicitation) ? { form: {} } : elicitation }),
    ...(sampling !== undefined && { sampling }),
    ...(roots !== undefined && { roots: {} }),
  };
  return { ...client, capabilities };
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

const levels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** The client as a request introduces it. */
export function clientOf(message: RpcMessage): Client {
  const meta = metaOf(message.params);
  const logLevel = meta[`${metaPrefix}logLevel`];
  return {
    info: { name: "unknown", version: "0", ...objectOf(meta[`${metaPrefix}clientInfo`]) },
    capabilities: objectOf(meta[`${metaPrefix}clientCapabilities`]),
    ...(typeof logLevel === "string" && levels.includes(logLevel) && { logLevel }),
  };
}

/**
 * Log messages go only to who asked for them, from the level asked for on (MCP 2026-07-28, Logging). Progress goes by the
 * token of the round at hand: a retry may have another than the request that it goes on with, or none.
 */
export function shownNotice(notice: Request, { logLevel }: Client, progressToken: unknown): Request | undefined {
  if (notice.method === "notifications/progress")
    return progressToken === undefined ? undefined : { ...notice, params: { ...notice.params, progressToken } };
  if (notice.method !== "notifications/message" || logLevel === undefined) return undefined;
  const level = levels.indexOf(textOf(notice.params?.["level"]));
  return level < 0 || level >= levels.indexOf(logLevel) ? notice : undefined;
}
