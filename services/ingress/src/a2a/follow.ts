import type { Bus } from "@sluice/bus";
import type { StreamEnd } from "@sluice/contracts";
import { SseRelay } from "../sse-relay.ts";
import type { Dependent, Streams } from "../streams.ts";
import type { StreamAnswer } from "./stream-answer.ts";

export interface FollowOptions {
  readonly bus: Bus;
  readonly streams: Streams;
  readonly answer: StreamAnswer;
  readonly tenant: string;
  readonly stream: string;
  /** The replica that has the watch. */
  readonly egress: string;
  /** The piece that the client has. */
  readonly after: number;
  readonly fromSequence: number;
  /** Called once the stream is heard, before anything of it is written. */
  readonly onBegin: () => void;
}

/** How the following of a stream ended: it is over, goes on elsewhere, misses what is gone, or its client left. */
export interface Followed {
  readonly end: "over" | "moved" | "lost" | "left";
  readonly pieces: number;
  readonly bytes: number;
}

/** Follows a stream that others may read too, from the piece that the client has. */
export async function follow(options: FollowOptions): Promise<Followed> {
  return await new Following(options).run();
}

class Following implements Dependent {
  readonly egress: string;
  readonly #options: FollowOptions;
  readonly #relay: SseRelay;
  readonly #done = Promise.withResolvers<Followed["end"]>();

  constructor(options: FollowOptions) {
    const { bus, answer, tenant, stream, after, fromSequence, egress } = options;
    this.egress = egress;
    this.#options = options;
    this.#relay = new SseRelay({
      bus,
      response: answer,
      tenant,
      stream,
      after,
      fromSequence,
      resumed: true,
      onEnd: ({ isMoved }: StreamEnd) => this.#done.resolve(isMoved === true ? "moved" : "over"),
      onLost: () => this.#done.resolve("lost"),
    });
  }

  async run(): Promise<Followed> {
    const { answer, streams, onBegin } = this.#options;
    const onClose = () => this.#done.resolve("left");
    answer.once("close", onClose);
    if (answer.destroyed) onClose();
    streams.add(this.#relay);
    streams.depend(this);
    try {
      onBegin();
      await Promise.race([this.#relay.replay(), this.#done.promise]);
      const end = await this.#done.promise;
      return { end, pieces: this.#relay.written, bytes: this.#relay.bytes };
    } finally {
      answer.off("close", onClose);
      this.#relay.close();
      streams.remove(this.#relay);
      streams.release(this);
    }
  }

  egressDied(): void {
    void this.#relay.replay().then(() => this.#done.resolve("moved"));
  }
}
