import type { Replica } from "@sluice/launcher";
import { until, type TestHouse } from "@sluice/testing";
import type { EventReader } from "./wire.ts";

/** What events of A2A 1.0 by JSON-RPC hold, as far as tests look. */
export interface Result {
  readonly task?: {
    readonly id: string;
    readonly status: { readonly state: string };
    readonly artifacts?: readonly { readonly parts: readonly { readonly text: string }[] }[];
  };
  readonly statusUpdate?: { readonly status: { readonly state: string } };
  readonly artifactUpdate?: { readonly artifact: { readonly parts: readonly { readonly text: string }[] } };
}

export const headersV10 = { "content-type": "application/json", "a2a-version": "1.0" };

export const rpc = (method: string, params: object, id: unknown = 1) => ({ jsonrpc: "2.0", id, method, params });

export const saying = (text: string) => ({
  message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] },
});

export const results = (reader: Pick<EventReader, "messages">): Result[] =>
  reader.messages.map(({ result }) => (result ?? {}) as Result);

/** The task that a stream began with. */
export const taskIn = (reader: EventReader): string => results(reader)[0]?.task?.id ?? "";

/** The state that was told last. */
export const stateIn = (reader: EventReader): string | undefined =>
  results(reader)
    .map(({ task, statusUpdate }) => (task ?? statusUpdate)?.status.state)
    .findLast((state) => state !== undefined);

/** The texts of the artifacts, from where the task was told whole, in the order told. */
export function textsIn({ messages }: Pick<EventReader, "messages">): string[] {
  const all = results({ messages });
  const from = Math.max(
    0,
    all.findLastIndex(({ task }) => task !== undefined),
  );
  return all
    .slice(from)
    .flatMap(({ task, artifactUpdate }) => [
      ...(task?.artifacts ?? []).flatMap(({ parts }) => parts.map(({ text }) => text)),
      ...(artifactUpdate?.artifact.parts.map(({ text }) => text) ?? []),
    ]);
}

/** The replicas of egress that have a watch, once there is one. */
export function watchers({ house }: TestHouse): Promise<Replica[]> {
  return until("a replica that watches", async () => {
    const found = [];
    for (const replica of house.of("egress")) {
      const metrics = await (await fetch(`${replica.health}/metrics`)).text();
      if (/^sluice_upstream_calls_active\{[^}]*a2a[^}]*\} [1-9]/m.test(metrics)) found.push(replica);
    }
    return found.length > 0 ? found : undefined;
  });
}

/** Ends a replica by a signal, so that nobody is surprised. */
export function endBy(signal: NodeJS.Signals, replica: Replica): void {
  replica.endedOnPurpose = true;
  replica.process.kill(signal);
}
