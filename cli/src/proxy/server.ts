import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Fault, faultBody, toFault } from "@sluice/contracts";
import { ConfigError, createGuard } from "@sluice/runtime";
import { Counter, Histogram, type Log, type Registry } from "@sluice/telemetry";
import { carry, methods, type AttemptParts } from "./attempt.ts";
import { isDiscoveryProbe } from "./discovery.ts";
import { reporter, type Told } from "./report.ts";

export interface ServerParts extends AttemptParts {
  readonly log: Log;
  readonly metrics: Registry;
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

const headersTimeoutMs = 20_000;
const keepAliveMs = 75_000;
const known: readonly string[] = methods;

/** What listens on this machine: local answers, and everything else for the upstream. @throws ConfigError where it can't listen */
export async function listen(parts: ServerParts): Promise<Listener> {
  const { HOST: host, PORT: port, SHUTDOWN_DEADLINE_MS: deadlineMs } = parts.settings;
  const server = createServer({ headersTimeout: headersTimeoutMs, keepAliveTimeout: keepAliveMs }, listenerOf(parts));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) => reject(refusalOf(error, { host, port })));
  server.listen(port, host, resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => closed(server, deadlineMs),
  };
}

function refusalOf(error: NodeJS.ErrnoException, { host, port }: { host: string; port: number }): Error {
  if (error.code === "EADDRINUSE") return new ConfigError(`port ${port} is in use: set PORT`);
  return new ConfigError(`it can't listen on ${host}, port ${port} (${error.code}): set HOST and PORT`);
}

/** Calls under way may finish until the deadline. */
async function closed(server: Server, deadlineMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), deadlineMs);
  await promise;
  clearTimeout(timer);
}

function listenerOf(parts: ServerParts): RequestListener {
  const { settings, log, metrics, upstream, beats } = parts;
  const { ALLOWED_HOSTS: allowedHosts, ALLOWED_ORIGINS: allowedOrigins, MCP_API_KEY, MCP_API_SECRET } = settings;
  const guard = createGuard({ allowedHosts, allowedOrigins });
  const report = reporter(log, [MCP_API_SECRET, MCP_API_KEY]);
  const measure = settings.METRICS ? measures(metrics) : undefined;
  const startedAt = Date.now();
  const local = (path: string, response: ServerResponse): boolean => {
    if (isDiscoveryProbe(path)) answer(response, 404, { error: "not_found", message: "there is no login here" });
    else if (path === "/health") answer(response, 200, healthOf(upstream.origin, startedAt));
    else if (path === "/metrics" && settings.METRICS) void writeMetrics(response, metrics);
    else return false;
    return true;
  };
  return (request, response) => {
    const started = performance.now();
    response.on("error", () => {});
    // Once nothing is accepted any more, a connection ends with its answer.
    response.once("close", () => void (beats.stop.aborted && request.socket.destroySoon()));
    const target = request.url ?? "/";
    try {
      look(request, guard);
      if (local(target.split("?", 1)[0] ?? "", response)) return void request.resume();
    } catch (error) {
      const { kind: fault, message: reason } = toFault(error);
      log.warn({ method: request.method, fault, reason }, "refused");
      return refuse(request, response, toFault(error));
    }
    const about = { method: request.method ?? "", target, startedAt: started };
    const over = (told: Told) => {
      report(about, told);
      measure?.(about.method, told, started);
    };
    carry(request, response, parts).then(over, (error: unknown) => {
      const fault = toFault(error);
      over({ fault });
      refuse(request, response, fault);
    });
  };
}

/** @throws Fault where the request is for somebody else, from a foreign page, or none that can be signed. */
function look({ rawHeaders, headers, method = "", url = "" }: IncomingMessage, guard: ReturnType<typeof createGuard>) {
  if (rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length !== 1)
    throw new Fault("invalid_request", "send exactly one Host header");
  guard(headers);
  if (!known.includes(method)) throw new Fault("method_not_allowed", `use ${methods.join(", ")}`);
  if (!/^\/[^\s#]*$/.test(url)) throw new Fault("invalid_request", "the request's path can't be signed");
}

function refuse(request: IncomingMessage, response: ServerResponse, fault: Fault): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  // A body that was not read to its end would be taken for the next request.
  if (!request.complete) response.setHeader("connection", "close");
  if (fault.kind === "method_not_allowed") response.setHeader("allow", methods.join(", "));
  answer(response, fault.row.status, faultBody(fault));
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

function healthOf(upstream: string, startedAt: number) {
  return { status: "healthy", upstream, uptime_seconds: Math.round((Date.now() - startedAt) / 1_000) };
}

async function writeMetrics(response: ServerResponse, metrics: Registry): Promise<void> {
  response.writeHead(200, { "content-type": metrics.contentType }).end(await metrics.metrics());
}

function measures(metrics: Registry): (method: string, told: Told, started: number) => void {
  const registers = [metrics];
  const requests = new Counter({
    name: "sluice_proxy_requests_total",
    help: "Requests forwarded, by the upstream's status, or the fault where there was none",
    labelNames: ["method", "status"],
    registers,
  });
  const durations = new Histogram({
    name: "sluice_proxy_request_duration_seconds",
    help: "From a request's head to the end of its answer",
    labelNames: ["method"],
    buckets: [0.002, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
    registers,
  });
  return (method, { status, fault }, started) => {
    requests.inc({ method, status: fault?.kind ?? status ?? "none" });
    durations.observe({ method }, (performance.now() - started) / 1_000);
  };
}
