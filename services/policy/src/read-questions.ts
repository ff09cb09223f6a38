import { isDecidable, type Incoming } from "@sluice/bus";
import {
  decodeHeadAndBody,
  decodeJson,
  targetKinds,
  type ArgumentsQuestion,
  type FilterQuestion,
  type Intent,
  type Protocol,
  type TargetKind,
} from "@sluice/contracts";
import { parseExact } from "@sluice/json";

/** Undefined for what is no question about a list. */
export function readFilterQuestion(message: Incoming): FilterQuestion | undefined {
  try {
    const question = decodeJson<FilterQuestion>(message.data);
    const { tenant, agent, protocol, kind, names } = question;
    const usable =
      typeof tenant === "string" &&
      typeof agent.id === "string" &&
      targetKinds.includes(kind) &&
      isOver(protocol, kind) &&
      Array.isArray(names) &&
      names.every((name) => typeof name === "string");
    return usable ? question : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a protocol has such things. */
function isOver(protocol: Protocol, kind: TargetKind): boolean {
  return (protocol === "a2a") === (kind === "agents" || kind === "skills");
}

/** A call and its arguments; undefined for what is no question about one. */
export function readArgumentsQuestion(message: Incoming): { call: Intent; args: unknown } | undefined {
  try {
    const { head, body } = decodeHeadAndBody<ArgumentsQuestion>(message.data);
    return isDecidable(head.call) ? { call: head.call, args: parseExact(body.toString("utf8")) } : undefined;
  } catch {
    return undefined;
  }
}
