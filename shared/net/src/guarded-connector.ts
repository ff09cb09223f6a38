import { lookup, type LookupAddress, type LookupOptions } from "node:dns";
import { isIP } from "node:net";
import { Agent, buildConnector } from "undici";
import type { AddressGuard, Refusal } from "./address-guard.ts";

/** The guard refused where a connection was about to go. The message is for operators. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
  readonly code = "ADDRESS_REFUSED";
  readonly host: string;
  readonly refusal: Refusal;

  constructor(host: string, refusal: Refusal) {
    super(host === refusal.address ? refusal.reason : `${host}: ${refusal.reason}`);
    this.host = host;
    this.refusal = refusal;
  }
}

/** PEM of what a TLS connection is made with, where it is not as for every other. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** What the server's certificate must name in place of the address. */
  readonly servername?: string;
}

export interface GuardedConnectorOptions {
  readonly guard: AddressGuard;
  /** Asked for each connection; another object than before means that earlier sessions are not resumed. */
  readonly tls?: (() => TlsMaterial | undefined) | undefined;
  /** Until the connection stands, TLS included; default 10 s. */
  readonly timeoutMs?: number;
  /** Told of each refusal, for the log. */
  readonly onRefused?: (refused: AddressRefused) => void;
  /** Stands in for the system's resolver. */
  readonly resolve?: typeof lookup;
}

const defaultTimeoutMs = 10_000;

/**
 * The `connect` of an undici Client, Pool or Agent: a name is resolved once per connection, every address it has must
 * pass the guard, and the socket goes to one of those very addresses, so that no second answer of DNS counts.
 */
export function guardedConnector(options: GuardedConnectorOptions): buildConnector.connector {
  const { guard, timeoutMs = defaultTimeoutMs, onRefused } = options;
  const judged = guardedLookup(options);
  let material = options.tls?.();
  const build = () => buildConnector({ timeout: timeoutMs, lookup: judged, ...material });
  let make = build();
  const connect: typeof make = (target, callback) => {
    const now = options.tls?.();
    if (now !== material) {
      material = now;
      make = build();
    }
    make(material?.servername === undefined ? target : { ...target, servername: material.servername }, callback);
  };
  return (target, callback) => {
    const host = target.hostname.replace(/^\[|\]$/g, "");
    // Sockets look up names alone.
    const refusal = isIP(host) === 0 ? undefined : guard.refusalOf(host);
    if (refusal === undefined) return connect(target, callback);
    const refused = new AddressRefused(host, refusal);
    onRefused?.(refused);
    queueMicrotask(() => callback(refused, null));
  };
}

/**
 * An agent for requests to addresses from outside, such as token endpoints, webhooks and cards. Use it with undici's
 * `request`, which follows no redirect; to `fetch` say `redirect: "error"`.
 */
export function guardedAgent(options: GuardedConnectorOptions, agent: Omit<Agent.Options, "connect"> = {}): Agent {
  return new Agent({ ...agent, connect: guardedConnector(options) });
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void;

function guardedLookup({ guard, onRefused, resolve = lookup }: GuardedConnectorOptions) {
  return (host: string, options: LookupOptions, callback: LookupCallback): void => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      for (const { address } of addresses) {
        const refusal = guard.refusalOf(address);
        if (refusal === undefined) continue;
        const refused = new AddressRefused(host, refusal);
        onRefused?.(refused);
        return callback(refused, []);
      }
      const [first] = addresses;
      if (options.all === true || first === undefined) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}
