import { Fault } from "@sluice/contracts";
import type { LegacySession } from "./legacy-peer.ts";
import type { Client } from "./peer.ts";
import { isObject } from "./rpc.ts";

/** What is kept of a legacy agent's session that the gateway itself holds; session-manager stores it as text. */
export interface SessionState {
  readonly client: Client;
  readonly version: string;
  /** The upstreams' own sessions, by server; a server without one keeps none, or speaks the modern era. */
  readonly inner: Readonly<Record<string, LegacySession>>;
  /** By server: its resources that the client wants to hear of → what the client calls them. */
  readonly subscriptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const mostBytes = 24 * 1024;

/** @throws Fault `invalid_request` where a client says so much of itself that it cannot be kept. */
export function writeState(state: SessionState): string {
  const text = Buffer.from(JSON.stringify(state)).toString("base64url");
  if (text.length > mostBytes) throw new Fault("invalid_request", "the session holds more than can be kept");
  return text;
}

/** @throws Fault `internal` for what was not written here. */
export function readState(text: string): SessionState {
  const state: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  if (!isObject(state)) throw new Fault("internal", "the session's state cannot be read");
  return state as unknown as SessionState;
}
