import type { Gates } from "./gates.ts";
import { behaveForTck, isForTck } from "./tck-behaviours.ts";
import type { Happening, Piece, State, Turn } from "./words.ts";

type Behaviour = (turn: Turn, rest: string, gates: Gates) => AsyncIterable<Happening> | Iterable<Happening>;

export const sampleFile = { raw: Buffer.from([0, 1, 2, 253, 254, 255]).toString("base64"), mediaType: "image/png" };

const task: Happening = { is: "task" };
const status = (state: State, text?: string): Happening => ({
  is: "status",
  state,
  ...(text !== undefined && { text }),
});
const artifact = (id: string, pieces: readonly Piece[]): Happening => ({ is: "artifact", id, pieces, last: true });
const work = (...pieces: Piece[]) => [task, status("working"), artifact("answer", pieces), status("completed")];

/** What an agent does, by the first word of what it is told; the same in agents of all revisions. */
const behaviours: Readonly<Record<string, Behaviour>> = {
  echo: (_turn, rest) => work({ text: rest }),
  message: (_turn, rest) => [{ is: "message", pieces: [{ text: rest }] }],
  async *slow({ task: id }, rest, gates) {
    yield* [task, status("working", "step 0")];
    for (let step = 1; step <= Number(rest); step++) {
      await gates.pass(id);
      yield status("working", `step ${step}`);
    }
    yield status("completed");
  },
  async *chunks({ task: id }, rest, gates) {
    yield* [task, status("working")];
    const count = Number(rest);
    for (let chunk = 1; chunk <= count; chunk++) {
      await gates.pass(id);
      const text = `chunk ${chunk};`;
      yield { is: "artifact", id: "book", pieces: [{ text }], append: chunk > 1, last: chunk === count };
    }
    yield status("completed");
  },
  input: () => [task, status("working"), status("input-required", "which one?")],
  authorize: () => [task, status("working"), status("auth-required", "sign in")],
  fail: () => [task, status("working"), status("failed", "it went wrong")],
  reject: () => [task, status("rejected", "not me")],
  async *hang({ task: id }, _rest, gates) {
    await gates.pass(id);
    yield* work({ text: "at last" });
  },
  async *long({ task: id }, _rest, gates) {
    yield* [task, status("working", "at it")];
    await gates.pass(id);
    yield* [artifact("answer", [{ text: "done" }]), status("completed")];
  },
  files: () =>
    work(
      { ...sampleFile, filename: "dot.png" },
      { url: "https://files.example/report.pdf", mediaType: "application/pdf", filename: "report.pdf" },
    ),
  data: () => work({ data: { number: 1.5, list: [true, null, "ä€😀"], nested: { a: {} } } }),
  /** Tells what reached the agent: the proof of what a translated request says. */
  mirror: ({ pieces, references }) => work({ data: { pieces, references } }),
};

/** The answer to a message, piece by piece. A follow-up of a task that has asked for something completes it. */
export async function* behave(turn: Turn, gates: Gates): AsyncGenerator<Happening> {
  const text = turn.pieces.flatMap((piece) => ("text" in piece ? [piece.text] : []))[0] ?? "mirror";
  if (isForTck(turn.messageId) && !turn.isFollowUp) {
    yield* behaveForTck(turn, gates);
    return;
  }
  if (turn.isFollowUp) {
    yield* [status("working"), artifact("answer", [{ text: `so it is ${text}` }]), status("completed")];
    return;
  }
  const [word = "", ...rest] = text.split(" ");
  const behaviour = Object.hasOwn(behaviours, word) ? behaviours[word] : undefined;
  yield* behaviour === undefined ? work({ text }) : behaviour(turn, rest.join(" "), gates);
}
