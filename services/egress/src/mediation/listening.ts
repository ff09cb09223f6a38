import type { CallHead } from "@sluice/contracts";
import type { Changes } from "./changes.ts";
import { ModernPeer } from "./modern-peer.ts";
import type { Client, Sink, Wanted } from "./peer.ts";
import type { Peers } from "./peers.ts";
import type { Routes } from "./routes.ts";
import { aborted } from "./wire.ts";

interface Listener {
  readonly head: CallHead;
  readonly client: Client;
  readonly traceparent: string;
}

/** Hands over what servers say of their own accord to one modern agent that asked for it. */
export class Listening {
  readonly #peers: Peers;
  readonly #routes: Routes;
  readonly #changes: Changes;

  constructor({ peers, routes, changes }: { peers: Peers; routes: Routes; changes: Changes }) {
    this.#peers = peers;
    this.#routes = routes;
    this.#changes = changes;
  }

  /** Of one server, until the signal; where it is of the modern era, until it ends the stream. */
  async listen(
    { head, client: { info }, traceparent }: Listener,
    server: string,
    { wanted, sink }: { wanted: Wanted; sink: Sink },
  ): Promise<void> {
    const line = this.#routes.line(head, server, traceparent);
    const place = { tenant: head.tenant, server };
    const { told, off } = this.#changes.listen(place, sink);
    try {
      const client: Client = { info, capabilities: {} };
      const isModern = (await this.#peers.eras.of(line)) === "modern";
      const peer = isModern
        ? this.#peers.modern({ line, client, schemas: this.#routes.schemas(head, server), modernAgent: true })
        : await this.#peers.open({ line, client, signal: sink.signal });
      if (!(peer instanceof ModernPeer)) peer.attach(line, told);
      await peer.listen(wanted, told).finally(() => peer.close());
      if (!isModern) await aborted(sink.signal);
    } finally {
      off();
    }
  }
}
