import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A bare HTTP hop on loopback. */
export interface Shim extends AsyncDisposable {
  readonly url: string;
}

export interface ShimOptions {
  /** Where the next request goes; it came for that path and query. */
  readonly next: (path: string) => URL;
  /** Added to what comes, as names and values in turn. */
  readonly headers: readonly string[];
}

/**
 * Passes requests on as they come and streams the answers. The suites cannot send a key, so one stands in front of Sluice
 * and adds it; Host and Origin stay what the suite sends, so that Sluice itself judges them.
 */
export async function startShim({ next, headers }: ShimOptions): Promise<Shim> {
  const server = createServer((incoming, response) =>
    pass({ incoming, response, target: next(incoming.url ?? "/"), headers }),
  );
  server.requestTimeout = 0;
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject).listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Passage {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: URL;
  readonly headers: readonly string[];
}

function pass({ incoming, response, target, headers }: Passage): void {
  const outgoing = request({
    host: target.hostname,
    port: target.port,
    path: target.pathname + target.search,
    method: incoming.method ?? "GET",
    headers: [...incoming.rawHeaders, ...headers],
    agent: false,
  });
  outgoing.on("response", (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, withoutConnection(answer.rawHeaders));
    response.flushHeaders();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  outgoing.on("error", () => response.destroy());
  response.on("close", () => outgoing.destroy());
  incoming.on("error", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

/** Each hop has a connection of its own. */
function withoutConnection(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_text, at) => !/^(?:connection|keep-alive)$/i.test(rawHeaders[at - (at % 2)] ?? ""));
}
