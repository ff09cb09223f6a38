import type { Piece, State } from "./agents/words.ts";
import { Problem, type Seen, type SeenTask } from "./clients/client.ts";

/** What a series of events, or one answer, comes to: the same in all revisions. */
export interface Meaning {
  /** Each state with its text, `submitted` and repetitions left out. */
  readonly states: readonly (readonly [State, string?])[];
  readonly artifacts: readonly (readonly Piece[])[];
}

/** Folds events as a client would. A message alone is told as the end of a task, which is what 0.1 makes of it. */
export function meaningOf(seen: readonly Seen[]): Meaning {
  const states: (readonly [State, string?])[] = [];
  const artifacts = new Map<string, Piece[]>();
  for (const event of seen) {
    if (event.is === "artifact") fold(artifacts, event);
    if (event.is === "task") for (const { id, pieces } of event.artifacts) artifacts.set(id, [...pieces]);
    const state = stateOf(event);
    if (state !== undefined && JSON.stringify(states.at(-1)) !== JSON.stringify(state)) states.push(state);
  }
  return { states, artifacts: [...artifacts.values()].map(joined) };
}

function stateOf(event: Seen): readonly [State, string?] | undefined {
  if (event.is === "message") return ["completed", texts(event.pieces)];
  if (event.is === "artifact" || event.state === "submitted") return undefined;
  return event.text === undefined ? [event.state] : [event.state, event.text];
}

function fold(artifacts: Map<string, Piece[]>, { id, pieces, append }: Extract<Seen, { is: "artifact" }>): void {
  const known = artifacts.get(id);
  if (append && known !== undefined) known.push(...pieces);
  else artifacts.set(id, [...pieces]);
}

const texts = (pieces: readonly Piece[]) => pieces.flatMap((piece) => ("text" in piece ? [piece.text] : [])).join("");

/** Texts in a row are one: some agents keep chunks apart, some join them. */
function joined(pieces: readonly Piece[]): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (last !== undefined && "text" in last && "text" in piece)
      result[result.length - 1] = { text: last.text + piece.text };
    else result.push(piece);
  }
  return result;
}

/** What the user said of a task; agents differ in which of their own words they keep. */
export const userHistory = ({ history }: SeenTask): string[] =>
  history.flatMap(({ role, pieces }) => (role === "user" ? [texts(pieces)] : []));

/** The code of the error that something ends in, or `undefined` where there is none. */
export async function codeOf(work: Promise<unknown>): Promise<number | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}
