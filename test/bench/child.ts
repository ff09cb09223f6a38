/** What the bench's own child processes have in common: they say when they are ready, and end with their parent. */
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";

/** Ends this process with its parent's, however that one ended; Ctrl-C is the parent's to act on. */
export function endWithParent(): void {
  process.on("SIGINT", () => {});
  process.on("disconnect", () => process.exit(0));
}

/** Tells the parent the port of a listening server. */
export function reportReady(server: Server): void {
  endWithParent();
  process.send?.({ port: (server.address() as AddressInfo).port });
}
