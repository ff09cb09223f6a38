import { compile, raw, scan } from "@sluice/json";
import { mostCardBytes, parseCard } from "./card.ts";
import type { Members } from "./card-shape.ts";
import type { WireAnswer } from "./wire.ts";
import type { Dialect } from "@sluice/contracts";

const plan = compile([["result"]], []);
/** What JSON-RPC says around a card. */
const envelopeBytes = 4 * 1024;

/** The extended card that an answer holds; undefined where it is an error. @throws Fault `upstream_failed` where it is no card */
export function cardInAnswer(
  { binding }: Dialect,
  answer: WireAnswer,
): { card: Members; with: (card: Members) => WireAnswer } | undefined {
  const { status, body } = answer;
  if (status >= 300) return undefined;
  if (binding === "HTTP+JSON") return { card: parseCard(body), with: (card) => ({ ...answer, body: bytesOf(card) }) };
  const seen = body.length > mostCardBytes + envelopeBytes ? undefined : scan(body, plan);
  // What cannot be read, or is too large, is no card either.
  if (seen?.ok !== true) return { card: parseCard(body), with: () => answer };
  const [result] = seen.values;
  if (result === undefined) return undefined;
  const [before, after] = [body.subarray(0, result.start), body.subarray(result.end)];
  return {
    card: parseCard(raw(body, result)),
    with: (card) => ({ ...answer, body: Buffer.concat([before, bytesOf(card), after]) }),
  };
}

function bytesOf(card: Members): Buffer {
  return Buffer.from(JSON.stringify(card));
}
