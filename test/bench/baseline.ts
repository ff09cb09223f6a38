/**
 * The yardstick: what a bare reverse proxy on Node costs that checks the same API key and signs the same way,
 * with no bus, policy, limits, audit, logs or traces.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool, type Dispatcher } from "undici";
import { reportReady } from "./child.ts";

const keyHash = Buffer.from(process.env.BENCH_KEY_SHA256 ?? "", "hex");
const secret = process.env.BENCH_SECRET ?? "";
/** Enough for the thousand subscriptions that are held open. */
const pool = new Pool(process.env.BENCH_UPSTREAM ?? "", {
  connections: 2_048,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
});

const endsHere = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-agent-api-key",
]);

function isKnown(key: string | string[] | undefined): boolean {
  return typeof key === "string" && timingSafeEqual(createHash("sha256").update(key).digest(), keyHash);
}

function signedHeaders(req: IncomingMessage, path: string): string[] {
  const headers: string[] = [];
  const raw = req.rawHeaders;
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!endsHere.has(name)) headers.push(name, raw[at + 1] as string);
  }
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = createHmac("sha256", secret).update(`${req.method}\n${path}\n${timestamp}`).digest("hex");
  headers.push("x-api-key-id", "bench", "x-signature", signature, "x-timestamp", timestamp);
  return headers;
}

function relay(res: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      res.once("close", () => {
        if (!res.writableFinished) controller.abort(new Error("the client went away"));
      });
    },
    onResponseStart(_controller, status, headers) {
      delete headers.connection;
      delete headers["keep-alive"];
      delete headers["transfer-encoding"];
      res.writeHead(status, headers);
    },
    onResponseData(controller, chunk) {
      if (res.write(chunk)) return;
      controller.pause();
      res.once("drain", () => controller.resume());
    },
    onResponseEnd() {
      res.end();
    },
    onResponseError() {
      if (res.headersSent) res.destroy();
      else res.writeHead(502).end();
    },
  };
}

function forward(req: IncomingMessage, res: ServerResponse, body: Buffer): void {
  const path = req.url ?? "/";
  const method = req.method as Dispatcher.HttpMethod;
  pool.dispatch({ path, method, headers: signedHeaders(req, path), body }, relay(res));
}

const server = createServer((req, res) => {
  if (!isKnown(req.headers["x-agent-api-key"])) return void res.writeHead(401).end();
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => forward(req, res, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => reportReady(server));
