import type { StreamHead } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import type { QuotaHeaders } from "./quota-headers.ts";

/** What is written to the client until the end of this turn leaves in one write to the socket. */
export function gatherWrites({ socket }: Answer): void {
  if (socket === null || socket.writableCorked > 0) return;
  socket.cork();
  process.nextTick(() => socket.uncork());
}

/** Resolves when no more than so many bytes wait for the client, or when it is gone. */
export async function drained(response: Answer, atMostBytes: number): Promise<void> {
  while (response.writableLength > atMostBytes && !response.destroyed) {
    await new Promise<void>((resolve) => {
      const done = () => {
        response.off("drain", done);
        response.off("close", done);
        resolve();
      };
      response.on("drain", done);
      response.on("close", done);
    });
  }
}

/** Writes the head of an event stream at the end of this turn, with the events that came together with it. */
export function startEventStream(
  response: Answer,
  head: Pick<StreamHead, "status" | "headers"> & { readonly extraHeaders: QuotaHeaders | undefined },
  session: string | undefined,
): void {
  if (response.headersSent) return;
  response.writeHead(head.status, {
    ...head.headers,
    ...head.extraHeaders,
    ...(session !== undefined && { "mcp-session-id": session }),
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
  });
  gatherWrites(response);
  response.flushHeaders();
}
