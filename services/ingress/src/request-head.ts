import type { IncomingMessage } from "node:http";
import type { Client } from "@sluice/contracts";

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

const longest = { name: 128, version: 64 };
/** RFC 9110 §10.1.5: the first product is what matters most. */
const product = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\/([!#$%&'*+.^_`|~0-9A-Za-z-]+))?/;

/** What a client says that it is, cut to what an audit event holds. */
export function shownClient(name: string, version: string | undefined): Client {
  const short = name.slice(0, longest.name);
  return { name: short, ...(version !== undefined && { version: version.slice(0, longest.version) }) };
}

/** What software its `User-Agent` says that it is. */
export function productOf(request: RequestHead): Client | undefined {
  const [, name, version] = product.exec(header(request, "user-agent") ?? "") ?? [];
  return name === undefined ? undefined : shownClient(name, version);
}
