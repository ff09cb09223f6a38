import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "@sluice/contracts";

export interface GuardOptions {
  readonly publicUrl?: string | undefined;
  /** Values of the Host header beside loopback names; `any` where a probe may name the machine as it likes. */
  readonly allowedHosts: readonly string[] | "any";
  readonly allowedOrigins: readonly string[];
}

const loopback = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;

/**
 * Refuses requests that a foreign web page or a rebound DNS name sends (MCP 2025-11-25, Transports, Security Warning).
 * @throws Fault `foreign_host` or `foreign_origin`.
 */
export function createGuard(options: GuardOptions): (headers: IncomingHttpHeaders) => void {
  const anyHost = options.allowedHosts === "any";
  const named = options.allowedHosts === "any" ? [] : options.allowedHosts;
  const hosts = new Set(named.map((host) => host.toLowerCase()));
  const origins = new Set(options.allowedOrigins.map((origin) => origin.toLowerCase()));
  if (options.publicUrl !== undefined) {
    const { host, origin } = new URL(options.publicUrl);
    hosts.add(host);
    origins.add(origin);
  }
  return (headers) => {
    const host = headers.host?.toLowerCase() ?? "";
    if (!anyHost && !hosts.has(host) && !loopback.test(host))
      throw new Fault("foreign_host", "this host is not served here; see ALLOWED_HOSTS");
    const origin = headers.origin?.toLowerCase();
    if (origin !== undefined && !origins.has(origin) && !isLoopbackOrigin(origin)) {
      throw new Fault("foreign_origin", "this origin may not call; see ALLOWED_ORIGINS");
    }
  };
}

function isLoopbackOrigin(origin: string): boolean {
  const host = /^https?:\/\/(.+)$/.exec(origin)?.[1];
  return host !== undefined && loopback.test(host);
}
