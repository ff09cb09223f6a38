import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const LOWEST = 15_000;
/** Linux hands out 32768 and up to outgoing connections: a client that reconnects there can connect to itself and take a stopped server's port. */
const HIGHEST = 32_767;
const SPAN = HIGHEST - LOWEST + 1;
let next = randomInt(SPAN);

/**
 * A loopback TCP port that was free a moment ago, below the range of outgoing connections. No port is given twice in a
 * row: whoever got it may not listen yet.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + next;
    next = (next + 1) % SPAN;
    if (await isFreePort(port)) return port;
  }
  throw new Error(`no free TCP port found between ${LOWEST} and ${HIGHEST}`);
}

/** Whether something could listen there at this moment, on loopback. */
export function isFreePort(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once("error", () => resolve(false));
  server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}
