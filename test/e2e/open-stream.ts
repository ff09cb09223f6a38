import { get } from "node:http";

/** An event stream (HTTP+SSE) that was opened; `closed` says when it ended. */
export interface OpenStream {
  readonly closed: Promise<number>;
  readonly isOpen: boolean;
}

export async function openStream(gateway: string, headers: Record<string, string>): Promise<OpenStream> {
  const { promise: opened, resolve, reject } = Promise.withResolvers<OpenStream>();
  const request = get(`${gateway}/mcp/sse`, { headers: { accept: "text/event-stream", ...headers } }, (response) => {
    if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
    const stream = {
      isOpen: true,
      closed: new Promise<number>((done) => response.once("close", () => done(Date.now()))),
    };
    response.once("close", () => (stream.isOpen = false));
    response.on("error", () => {});
    response.once("data", () => resolve(stream));
    response.resume();
  });
  request.on("error", reject);
  return await opened;
}
