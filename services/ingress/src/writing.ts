import type { Answer } from "./answer.ts";

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
