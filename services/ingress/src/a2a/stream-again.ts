import { requestFor, type Sides } from "@sluice/a2a";
import { Fault, clientNameOf, type A2aCall, type Dialect, type Renames, type TaskWatch } from "@sluice/contracts";
import { Body } from "../body.ts";
import type { HandedHead } from "../conversation.ts";

/** What the gateway asks by itself it asks in these words. */
const own: Dialect = { version: "1.0", binding: "JSONRPC" };

export interface Asked {
  /** The call that the client made. */
  readonly head: HandedHead;
  /** A name for the stream that may come of it. */
  readonly stream: string;
  /** The upstream's id. */
  readonly task: string;
  readonly renames: Renames | undefined;
  readonly again: NonNullable<A2aCall["again"]>;
}

/** Asks for the rest of a task's stream by a subscription in the client's dialect. @throws Fault */
export function againOf({ head, stream, task, renames, again }: Asked): { head: HandedHead; body: Body } {
  const { a2a } = head;
  if (a2a === undefined) throw new Fault("internal", "this is no call by A2A");
  const client = clientNameOf(task, renames?.tasks);
  const rpcId = head.rpcId ?? "1";
  const sides: Sides = {
    ...{ client: own, upstream: a2a.dialect, operation: "SubscribeToTask", rpcId },
    ...{ named: { task: client }, hasTask: true },
  };
  const asked = { jsonrpc: "2.0", method: sides.operation, params: { id: client } };
  const text = `{"id":${rpcId},${JSON.stringify(asked).slice(1)}`;
  const { http, rest, body } = requestFor(sides, { http: "POST", rest: "", body: Buffer.from(text) });
  const { known: _known, rest: _rest, ...others } = a2a;
  return {
    body: new Body(body),
    head: {
      ...head,
      http,
      method: sides.operation,
      stream,
      a2a: {
        ...others,
        operation: "SubscribeToTask",
        named: { task: client },
        known: { task: knownTask(task, again.gone), ...(renames !== undefined && { renames }) },
        ...(rest !== "" && { rest }),
        again,
      },
    },
  };
}

function knownTask(id: string, watch: TaskWatch | undefined) {
  return { id, ...(watch !== undefined && { watch }) };
}
