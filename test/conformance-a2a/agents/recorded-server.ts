import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** A request that reached an agent, and what the agent answered, byte for byte. */
interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Sent so far, behind the hook of `rewriteAnswers`. */
  readonly answer: { readonly status: number; readonly body: Buffer };
  /** The caller is still there and the answer is not at its end. */
  readonly isOpen: boolean;
}

/** Gets a JSON body or the data of one event and gives what is sent in its stead. */
type RewriteAnswer = (json: string, exchange: Exchange) => string;

/** What came to a server, in order, and a hand in what it answers. */
export interface Ledger {
  readonly exchanges: readonly Exchange[];
  /** Exchanges that are about the protocol, not about the card. */
  readonly hits: number;
  rewriteAnswers(rewrite: RewriteAnswer | undefined): void;
  clear(): void;
}

export interface RecordedServer extends AsyncDisposable {
  readonly origin: string;
  readonly ledger: Ledger;
}

type Writable = { -readonly [key in keyof Exchange]: Exchange[key] };

/** Serves on loopback and keeps what comes and goes. `build` is told the address before it makes the listener. */
export async function startRecordedServer(build: (origin: string) => RequestListener): Promise<RecordedServer> {
  const exchanges: Exchange[] = [];
  let rewrite: RewriteAnswer | undefined;
  const http = createServer();
  http.requestTimeout = 0;
  const listening = Promise.withResolvers<void>();
  http.once("error", listening.reject).listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const listener = build(origin);
  http.on("request", (request, response) => {
    exchanges.push(record(request, response, () => rewrite));
    listener(request, response);
  });
  return {
    origin,
    ledger: {
      exchanges,
      get hits() {
        return exchanges.filter(({ path }) => !path.includes("/.well-known/")).length;
      },
      rewriteAnswers: (wanted) => (rewrite = wanted),
      clear: () => void exchanges.splice(0),
    },
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

function record(
  request: IncomingMessage,
  response: ServerResponse,
  rewriting: () => RewriteAnswer | undefined,
): Exchange {
  const { method = "", url: path = "", headers } = request;
  const empty = Buffer.alloc(0);
  const exchange: Writable = { method, path, headers, body: empty, answer: { status: 0, body: empty }, isOpen: true };
  const push = request.push.bind(request);
  request.push = (chunk: Buffer | null, ...rest) => {
    if (chunk !== null) exchange.body = Buffer.concat([exchange.body, chunk]);
    return push(chunk, ...rest);
  };
  response.once("close", () => (exchange.isOpen = false));
  hookAnswer(response, exchange, rewriting);
  return exchange;
}

/** Express writes a JSON body by one `end`, and each event by one `write`. */
function hookAnswer(response: ServerResponse, exchange: Writable, rewriting: () => RewriteAnswer | undefined): void {
  const [write, end] = [response.write.bind(response), response.end.bind(response)];
  const pass = (chunk: unknown): Buffer => {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer);
    const rewrite = rewriting();
    const sent = rewrite === undefined ? bytes : rewritten(bytes, (json) => rewrite(json, exchange));
    exchange.answer = { status: response.statusCode, body: Buffer.concat([exchange.answer.body, sent]) };
    return sent;
  };
  const isChunk = (chunk: unknown) => typeof chunk === "string" || chunk instanceof Uint8Array;
  response.write = ((chunk: unknown, ...rest: []) => write(pass(chunk), ...rest)) as typeof response.write;
  response.end = ((chunk?: unknown, ...rest: []) => {
    if (!isChunk(chunk)) {
      exchange.answer = { ...exchange.answer, status: response.statusCode };
      return end(chunk as never, ...rest);
    }
    const sent = pass(chunk);
    if (!response.headersSent && response.hasHeader("content-length"))
      response.setHeader("content-length", sent.length);
    return end(sent, ...rest);
  }) as typeof response.end;
}

function rewritten(bytes: Buffer, rewrite: (json: string) => string): Buffer {
  const text = bytes.toString("utf8");
  if (text === "") return bytes;
  if (text.startsWith("{") || text.startsWith("[")) return Buffer.from(rewrite(text));
  return Buffer.from(text.replaceAll(/^data: ?(.+)$/gm, (_line, json: string) => `data: ${rewrite(json)}`));
}
