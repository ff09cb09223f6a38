import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";

/** Knows which connections carry a request, so that at the stop the others, used or never used, do not hold it up. */
export class Connections {
  readonly #underWay = new Map<Socket, number>();

  constructor(server: Server) {
    const add = (socket: Socket) => {
      this.#underWay.set(socket, 0);
      socket.once("close", () => this.#underWay.delete(socket));
    };
    const shaking = new Map<string, Socket>();
    server.on("connection", (socket: Socket) => {
      add(socket);
      if (!(server instanceof TlsServer)) return;
      const peer = peerOf(socket);
      shaking.set(peer, socket);
      socket.once("close", () => shaking.get(peer) === socket && shaking.delete(peer));
    });
    // From here on the connection is this socket, which carries the requests.
    server.on("secureConnection", (socket: Socket) => {
      const beneath = shaking.get(peerOf(socket));
      if (beneath !== undefined) this.#underWay.delete(beneath);
      shaking.delete(peerOf(socket));
      add(socket);
    });
    server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.#add(socket, 1);
      response.once("close", () => this.#add(socket, -1));
    });
  }

  /** Requests whose answer is not over. */
  get requests(): number {
    return [...this.#underWay.values()].reduce((sum, requests) => sum + requests, 0);
  }

  /** Ends the connections that carry nothing; one that a request is just arriving on included. */
  closeIdle(): void {
    for (const [socket, requests] of this.#underWay) if (requests === 0) socket.destroy();
  }

  #add(socket: Socket, change: number): void {
    const before = this.#underWay.get(socket);
    if (before !== undefined) this.#underWay.set(socket, before + change);
  }
}

/** Two connections that stand have different ones. */
function peerOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(" ");
}
