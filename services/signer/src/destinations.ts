import { open } from "node:fs/promises";
import { ChainedPublisher, store, type Bus } from "@sluice/bus";
import { decodeJson, encodeJson, streams, subjects, type Checkpoint } from "@sluice/contracts";
import type { Destination } from "./publication.ts";
import type { TreeStore } from "./tree-store.ts";

const storeTimeoutMs = 5_000;
const postTimeoutMs = 10_000;

/** A row of `audit_checkpoints` each. */
export function toPostgres(trees: TreeStore): Destination {
  return { name: "postgres", deliver: (checkpoints) => trees.keep(checkpoints) };
}

/** The CHECKPOINTS stream, on the subject of the log. */
export function toStream(bus: Bus): Destination {
  const reader = new ChainedPublisher(bus, streams.checkpoints.name);
  const deliverOne = async (checkpoint: Checkpoint) => {
    const subject = subjects.checkpoint(checkpoint.log);
    const last = await reader.lastOf(subject);
    if (last !== undefined && decodeJson<Checkpoint>(last).note === checkpoint.note) return;
    await store(bus, { subject, payload: encodeJson(checkpoint) }, storeTimeoutMs);
  };
  return { name: "nats", deliver: async (checkpoints) => void (await Promise.all(checkpoints.map(deliverOne))) };
}

/** A line of JSON each, on disk when it is done. */
export function toFile(path: string): Destination {
  return {
    name: "file",
    deliver: async (checkpoints) => {
      await using file = await open(path, "a+", 0o644);
      const { size } = await file.stat();
      const last = size === 0 ? undefined : await file.read(Buffer.alloc(1), 0, 1, size - 1);
      // What was written last may have been cut by a crash.
      const head = last === undefined || last.buffer.toString() === "\n" ? "" : "\n";
      await file.appendFile(head + checkpoints.map((checkpoint) => `${JSON.stringify(checkpoint)}\n`).join(""));
      await file.datasync();
    },
  };
}

export interface HttpTarget {
  readonly url: string;
  readonly token?: string | undefined;
}

/** `POST {"checkpoints": […]}`; any 2xx says that they are kept there. */
export function toHttp({ url, token }: HttpTarget): Destination {
  return {
    name: "http",
    deliver: async (checkpoints) => {
      const answer = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify({ checkpoints }),
        redirect: "error",
        signal: AbortSignal.timeout(postTimeoutMs),
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
    },
  };
}
