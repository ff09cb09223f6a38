import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "@sluice/telemetry";
import { ConfigError } from "./config.ts";
import { createGuard } from "./guard.ts";

/** What a service says of itself. */
export interface HealthState {
  /** Whether it takes work: connected, configured, not stopping. */
  ready(): boolean;
  /** Shown at `/health`; no secrets. */
  details(): Record<string, unknown>;
}

export interface HealthServer extends AsyncDisposable {
  readonly port: number;
}

/** `/health` (alive and in what state), `/ready` (200 or 503) and `/metrics`, on a port of their own. */
export async function serveHealth(
  address: { host: string; port: number },
  state: HealthState,
  metrics: Registry,
): Promise<HealthServer> {
  const guard = createGuard({ allowedHosts: "any", allowedOrigins: [] });
  const server = createServer((request, response) => {
    if (isForeign(guard, request)) return void answer(response, 403, { error: "foreign_origin" });
    const path = request.url?.split("?")[0];
    if (request.method !== "GET" && request.method !== "HEAD")
      return void answer(response, 405, { error: "method_not_allowed" });
    if (path === "/health") {
      return void answer(response, 200, { status: state.ready() ? "healthy" : "degraded", ...state.details() });
    }
    if (path === "/ready") return void answer(response, state.ready() ? 200 : 503, { ready: state.ready() });
    if (path === "/metrics") return void writeMetrics(response, metrics);
    answer(response, 404, { error: "not_found" });
  });
  const listening = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) =>
    listening.reject(
      error.code === "EADDRINUSE" ? new ConfigError(`port ${address.port} is in use: set HEALTH_PORT`) : error,
    ),
  );
  server.listen(address.port, address.host, listening.resolve);
  await listening.promise;
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A page of another site, which must not even read whether this service is well. */
function isForeign(guard: ReturnType<typeof createGuard>, request: IncomingMessage): boolean {
  try {
    guard(request.headers);
    return false;
  } catch {
    return true;
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

async function writeMetrics(response: ServerResponse, metrics: Registry): Promise<void> {
  try {
    const text = await metrics.metrics();
    response.writeHead(200, { "content-type": metrics.contentType }).end(text);
  } catch {
    answer(response, 500, { error: "internal" });
  }
}
