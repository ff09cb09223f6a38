import { lastFrame, storedFrame, type Bus } from "@sluice/bus";
import { decodeJson, type StreamHead, type TaskWatch } from "@sluice/contracts";
import type { HandedHead } from "../conversation.ts";
import { parseEventId } from "../event-id.ts";

/** A task's stream that is kept, and the piece after which its client goes on. */
export interface KeptTask {
  readonly head: StreamHead;
  readonly watch: TaskWatch;
  readonly after: number;
}

/** Finds the stream that an event belongs to: it must be the caller's own, of the same agent and task, and have got so far; else there is none. */
export async function findKeptTask(bus: Bus, lastEventId: string, call: HandedHead): Promise<KeptTask | undefined> {
  const from = parseEventId(lastEventId);
  const task = call.a2a?.known?.task;
  if (from === undefined || task === undefined) return undefined;
  const { stream, event: after } = from;
  const first = await storedFrame(bus, { tenant: call.tenant, stream }, 1);
  if (first?.frame.head !== true) return undefined;
  const head = decodeJson<StreamHead>(first.frame.bytes);
  const isOfTask = head.task === task.id || (head.task === undefined && task.watch?.stream === stream);
  const isOwn = head.tenant === call.tenant && head.identity === call.identity && head.server === call.server;
  if (!isOwn || !isOfTask || head.dialect === undefined) return undefined;
  const last = await lastFrame(bus, { tenant: call.tenant, stream });
  if (last === undefined || last.frame.last < after) return undefined;
  return { head, after, watch: { egress: head.egress, stream } };
}
