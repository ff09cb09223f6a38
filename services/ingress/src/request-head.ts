import type { IncomingMessage } from "node:http";

/** What a call needs of the HTTP request that it came with. */
export type RequestHead = Pick<IncomingMessage, "method" | "url" | "headers">;

/** A header field's value; the first where it came more than once. */
export function header({ headers }: RequestHead, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The path without its query, cut to what an audit event holds. */
export function pathOf({ url }: RequestHead): string {
  return (url ?? "").split("?", 1)[0]?.slice(0, 512) ?? "";
}
