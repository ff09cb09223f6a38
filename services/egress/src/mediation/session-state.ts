import { Fault } from "@sluice/contracts";
import type { LegacySession } from "./legacy-peer.ts";
import type { Client } from "./peer.ts";
import { isObject } from "./rpc.ts";

/** An upstream's own session: of what the upstream says of itself only what a call depends on. */
export interface InnerSession {
  /** Absent where the upstream keeps no sessions. */
  readonly id?: string;
  readonly version: string;
  /** Names of its capabilities. */
  readonly can: readonly string[];
}

/** What is kept of a legacy agent's session that the gateway itself holds; session-manager stores it as text. */
export interface SessionState {
  readonly client: Client;
  readonly version: string;
  /** The upstreams' own sessions, by server; a server without one keeps none, or speaks the modern era. */
  readonly inner: Readonly<Record<string, InnerSession>>;
  /** By server: its resources that the client wants to hear of → what the client calls them. */
  readonly subscriptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const mostBytes = 24 * 1024;
const mostIdChars = 1_024;
const keptCapabilities = ["tools", "prompts", "resources", "completions", "logging"];

export function fits(state: SessionState): boolean {
  return textOf(state).length <= mostBytes;
}

/** @throws Fault `invalid_request` where a client says so much of itself that it cannot be kept. */
export function writeState(state: SessionState): string {
  const text = textOf(state);
  if (text.length > mostBytes) throw new Fault("invalid_request", "the session holds more than can be kept");
  return text;
}

/** @throws Fault `internal` for what was not written here. */
export function readState(text: string): SessionState {
  let state: unknown;
  try {
    state = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    // Quiet on purpose: what JSON.parse says of a text quotes it.
  }
  if (!isState(state)) throw new Fault("internal", "the session's state cannot be read");
  return state;
}

/** @throws Fault where the upstream's name for its session is too long to be kept. */
export function innerOf(server: string, { id, version, about }: LegacySession): InnerSession {
  if ((id?.length ?? 0) > mostIdChars)
    throw new Fault("upstream_failed", `the server '${server}' names its session with more than can be kept`);
  const can = keptCapabilities.filter((name) => about.capabilities[name] !== undefined);
  return { version, can, ...(id !== undefined && { id }) };
}

export function sessionOf({ id, version, can }: InnerSession): LegacySession {
  const capabilities = Object.fromEntries(can.map((name) => [name, {}]));
  return { version, about: { capabilities, serverInfo: {} }, ...(id !== undefined && { id }) };
}

function textOf(state: SessionState): string {
  return Buffer.from(JSON.stringify(state)).toString("base64url");
}

function isState(value: unknown): value is SessionState {
  if (!isObject(value) || typeof value["version"] !== "string") return false;
  const { client, inner, subscriptions } = value;
  const isClient = isObject(client) && isObject(client["info"]) && isObject(client["capabilities"]);
  return isClient && areInner(inner) && isObject(subscriptions) && Object.values(subscriptions).every(isObject);
}

function areInner(value: unknown): boolean {
  return (
    isObject(value) &&
    Object.values(value).every(
      (one) => isObject(one) && typeof one["version"] === "string" && Array.isArray(one["can"]),
    )
  );
}
