import { isDecidable, type Incoming } from "@sluice/bus";
import {
  decodeHeadAndBody,
  decodeJson,
  listedKinds,
  type ArgumentsQuestion,
  type FilterQuestion,
  type Intent,
} from "@sluice/contracts";
import { parseExact } from "@sluice/json";

/** Undefined for what is no question about a list. */
export function readFilterQuestion(message: Incoming): FilterQuestion | undefined {
  try {
    const question = decodeJson<FilterQuestion>(message.data);
    const { tenant, agent, kind, names } = question;
    const usable =
      typeof tenant === "string" &&
      typeof agent.id === "string" &&
      listedKinds.includes(kind) &&
      Array.isArray(names) &&
      names.every((name) => typeof name === "string");
    return usable ? question : undefined;
  } catch {
    return undefined;
  }
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
