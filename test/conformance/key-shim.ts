import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The suites cannot send a key, so this stands in front of Sluice and adds it. All else passes as it comes. */
export interface KeyShim extends AsyncDisposable {
  readonly url: string;
}

export interface KeyShimOptions {
  /** Where Sluice listens, one address per replica; requests go to them in turn. */
  readonly targets: readonly string[];
  readonly path: string;
  readonly key: string;
}

/** Host and Origin stay what the suite sends, so that Sluice itself judges them. */
export async function startKeyShim(options: KeyShimOptions): Promise<KeyShim> {
  let turn = 0;
  const server = createServer((incoming, response) => {
    const target = new URL(options.path, options.targets[turn++ % options.targets.length]);
    pass({ incoming, response, target, key: options.key });
  });
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
  readonly key: string;
}

function pass({ incoming, response, target, key }: Passage): void {
  const outgoing = request({
    host: target.hostname,
    port: target.port,
    path: target.pathname,
    method: incoming.method ?? "GET",
    headers: [...incoming.rawHeaders, "x-agent-api-key", key],
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
