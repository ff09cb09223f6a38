import { allRenames, answerFor, clientOf, faultAnswer, speakTheSame, type Sides } from "@sluice/a2a";
import { isReading, isStreamed, type A2aOperation, type Dialect, type ReplyHead } from "@sluice/contracts";
import type { AgentBudget } from "../budget.ts";
import type { HandedHead } from "../conversation.ts";
import type { Manner, Rewrite } from "../manner.ts";
import { dataLines, errorLines, readsEventsAlone } from "./event-lines.ts";
import type { A2aJourney } from "./a2a-journey.ts";

/** Of what an answer says of its bytes, that which is not true of others. */
const ofBytes = new Set(["content-type", "content-length", "etag", "content-md5", "content-digest", "digest"]);

/** A2A: a client that leaves ends nothing but what it only wanted to read; answers go on in its own dialect. */
export function a2aMannerOf({ read, agent }: A2aJourney, head: HandedHead, budget: AgentBudget): Manner {
  const { dialect, operation, rpcId, named } = read;
  const known = head.a2a?.known;
  const sidesOf = (upstream: Dialect, reply: ReplyHead): Sides => {
    const renames = allRenames(known?.renames, reply.renames);
    return {
      client: head.a2a === undefined ? dialect : clientOf(head.a2a, upstream),
      upstream,
      operation,
      named,
      ...(rpcId !== undefined && { rpcId }),
      hasTask: known?.task !== undefined,
      ...(known?.task?.context !== undefined && { context: known.task.context }),
      ...(renames !== undefined && { renames }),
    };
  };
  return {
    protocol: "a2a",
    ...(!lastsForHours(operation) && { responseTimeoutMs: agent.responseTimeoutMs }),
    onLeaving: isReading(operation) ? "cancel" : "nothing",
    lastEvent: (fault) => errorLines(faultAnswer(dialect, fault, rpcId).body).toString("utf8"),
    rewriteOf: (reply) => {
      if (reply.dialect === undefined) return undefined;
      const sides = sidesOf(reply.dialect, reply);
      return sides.renames === undefined && speakTheSame(sides) ? undefined : rewrite(sides, reply, budget);
    },
  };
}

function rewrite(sides: Sides, { status, headers }: ReplyHead, budget: AgentBudget): Rewrite {
  const hold = budget.open();
  return {
    book: (bytes) => hold.resize(bytes),
    run: (body) => {
      const answer = answerFor(sides, { status, contentType: headers["content-type"] ?? "", body });
      const isEvent = answer.status === 200 && !speakTheSame(sides) && readsEventsAlone(sides.client, sides.operation);
      const [contentType, told] = isEvent
        ? ["text/event-stream", dataLines(answer.body, undefined)]
        : [answer.contentType, answer.body];
      return { status: answer.status, headers: headersFor(sides.client, headers, contentType), body: told };
    },
  };
}

/** What the agent says beside its answer, extensions by the name that the client's revision has for them. */
export function headersFor<Value extends string | number>(
  client: Dialect,
  headers: Readonly<Record<string, Value>>,
  contentType: string,
): Record<string, Value | string> {
  const extensions = client.version === "1.0" ? "a2a-extensions" : "x-a2a-extensions";
  const kept = Object.entries(headers).filter(([name]) => !ofBytes.has(name));
  const named = kept.map(([name, value]) => [/^(?:x-)?a2a-extensions$/.test(name) ? extensions : name, value]);
  return { ...(Object.fromEntries(named) as Record<string, Value>), "content-type": contentType };
}

/** Nothing but the life of the replica that has it says whether it goes on. */
function lastsForHours(operation: A2aOperation): boolean {
  return operation === "SendMessage" || isStreamed(operation);
}
