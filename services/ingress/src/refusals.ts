import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Tally, type AuditLog } from "@sluice/bus";
import type { Refusals } from "@sluice/contracts";

/** What of a refusal of nobody known is told apart. */
export type Refused = Pick<Refusals, "tenant" | "protocol" | "status" | "fault" | "peer">;

/** Kinds that are told apart in one summary; of what comes beyond, the addresses are not. */
const mostGroups = 256;

/** Requests of nobody known, and of who is known while the trail is full: they are counted, and leave an event per kind now and then. */
export class UnknownCallers implements Disposable {
  readonly #tally: Tally<Refused>;
  #number = 0;

  constructor(audit: AuditLog, { everyMs, instance }: { readonly everyMs: number; readonly instance: string }) {
    this.#tally = new Tally({
      everyMs,
      mostGroups,
      coarse: ({ peer: _peer, ...rest }) => rest,
      tell: ({ group, ...counted }) =>
        audit.add({ event: "refusals", id: `${instance}-r${++this.#number}`, ...group, ...counted }),
    });
  }

  refused({ tenant, protocol, status, fault, peer }: Refused): void {
    this.#tally.add({
      ...(tenant !== undefined && { tenant }),
      ...(protocol !== undefined && { protocol }),
      status,
      fault,
      ...(peer !== undefined && { peer }),
    });
  }

  /** What never becomes a request is refused by node itself: what is no HTTP, too slow, too large, or no TLS. */
  watch(server: HttpServer): void {
    const refused = (socket: Pick<Socket, "remoteAddress"> | undefined, kind: Pick<Refused, "status" | "fault">) =>
      this.refused({ ...kind, peer: peerOf(socket) });
    server.prependListener("clientError", (error: NodeJS.ErrnoException, socket) => {
      const { code = "" } = error;
      if (!hangUps.has(code)) refused(socket as Socket, unread[code] ?? { status: 400, fault: "invalid_request" });
    });
    // Both would be answered, or closed, by node itself.
    server.on("checkExpectation", ({ socket }: IncomingMessage, response: ServerResponse) => {
      refused(socket, { status: 417, fault: "expectation_failed" });
      response.writeHead(417, { connection: "close", "content-length": 0 }).end();
    });
    server.on("connect", (_request: IncomingMessage, socket: Socket) => {
      refused(socket, { status: 405, fault: "method_not_allowed" });
      socket.on("error", () => socket.destroy());
      socket.end("HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    server.prependListener("tlsClientError", (_error: Error, socket: Socket) => refused(socket, noHandshake));
  }

  [Symbol.dispose](): void {
    this.#tally[Symbol.dispose]();
  }
}

/** Whoever hangs up within a request's head has not asked for anything; who does within its body leaves an attempt. */
const hangUps: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "HPE_INVALID_EOF_STATE"]);
/** As node:http answers them. */
const unread: Readonly<Record<string, Pick<Refused, "status" | "fault">>> = {
  HPE_HEADER_OVERFLOW: { status: 431, fault: "headers_too_large" },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, fault: "request_timeout" },
};
/** There is no HTTP yet that could have a status: this is the one that nginx has for it. */
const noHandshake = { status: 495, fault: "tls_handshake_failed" };

/** The address that a connection comes from: the client's, or that of what stands in front. */
export function peerOf(socket: Pick<Socket, "remoteAddress"> | undefined): string | undefined {
  return socket?.remoteAddress?.replace(/^::ffff:/, "").slice(0, 64);
}
