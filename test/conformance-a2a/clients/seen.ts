import { pieceOfV01, type ArtifactV01, type MessageV01, type PartV01, type StatusV01 } from "../agents/v01-wire.ts";
import type { Piece, State } from "../agents/words.ts";
import type { Seen, SeenCard, SeenTask } from "./client.ts";

/** Shapes of all revisions as far as they are looked at. */
interface AnyMessage {
  readonly role: string;
  readonly contextId?: string;
  readonly parts?: readonly unknown[];
}
interface AnyStatus {
  readonly state: string;
  readonly message?: AnyMessage;
}
interface AnyArtifact {
  readonly artifactId: string;
  readonly parts?: readonly unknown[];
}
interface AnyTask {
  readonly id: string;
  readonly contextId: string;
  readonly status: AnyStatus;
  readonly artifacts?: readonly AnyArtifact[];
  readonly history?: readonly AnyMessage[];
}
interface AnyUpdate {
  readonly taskId: string;
  readonly status?: AnyStatus;
  readonly artifact?: AnyArtifact;
  readonly append?: boolean;
  readonly lastChunk?: boolean;
}

type ReadPart = (part: never) => Piece;

const textOf = (pieces: readonly Piece[]) => {
  const text = pieces.flatMap((piece) => ("text" in piece ? [piece.text] : [])).join("");
  return text === "" ? {} : { text };
};

/** `TASK_STATE_INPUT_REQUIRED` → `input-required`; others as they are. */
const stateOf = (state: string): State => {
  const word = state
    .replace(/^TASK_STATE_/, "")
    .toLowerCase()
    .replaceAll("_", "-");
  return (word === "cancelled" ? "canceled" : word) as State;
};

class Reader {
  readonly #part: ReadPart;

  constructor(part: ReadPart) {
    this.#part = part;
  }

  task({ id, contextId, status, artifacts = [], history = [] }: AnyTask): SeenTask {
    return {
      is: "task",
      task: id,
      context: contextId,
      ...this.#status(status),
      artifacts: artifacts.map(({ artifactId, parts }) => ({ id: artifactId, pieces: this.#pieces(parts) })),
      history: history.map(({ role, parts }) => ({
        role: /user/i.test(role) ? "user" : "agent",
        pieces: this.#pieces(parts),
      })),
    };
  }

  message({ contextId, parts }: AnyMessage): Seen {
    return { is: "message", ...(contextId !== undefined && { context: contextId }), pieces: this.#pieces(parts) };
  }

  update({ taskId: task, status, artifact, append = false, lastChunk = false }: AnyUpdate): Seen {
    if (status !== undefined) return { is: "status", task, ...this.#status(status) };
    const { artifactId: id = "", parts } = artifact ?? {};
    return { is: "artifact", task, id, pieces: this.#pieces(parts), append, last: lastChunk };
  }

  #status({ state, message }: AnyStatus) {
    return { state: stateOf(state), ...textOf(this.#pieces(message?.parts)) };
  }

  #pieces(parts: readonly unknown[] = []): Piece[] {
    return parts.map((part) => this.#part(part as never));
  }
}

/** Names and types are left out where the agent said nothing: the SDKs write empty ones. */
const named = (mediaType: string | undefined, filename: string | undefined) => ({
  ...(mediaType ? { mediaType } : {}),
  ...(filename ? { filename } : {}),
});

const readerV10 = new Reader((part: Record<string, string>): Piece => {
  if (part["text"] !== undefined) return { text: part["text"] };
  if ("data" in part) return { data: part["data"] };
  const more = named(part["mediaType"], part["filename"]);
  return part["raw"] === undefined ? { url: part["url"] ?? "", ...more } : { raw: part["raw"], ...more };
});

interface PartV03 {
  readonly kind: string;
  readonly text?: string;
  readonly data?: unknown;
  readonly file?: {
    readonly bytes?: string;
    readonly uri?: string;
    readonly mimeType?: string;
    readonly name?: string;
  };
}

const readerV03 = new Reader(({ kind, text = "", data, file }: PartV03): Piece => {
  if (kind === "text") return { text };
  if (kind === "data") return { data };
  const more = named(file?.mimeType, file?.name);
  return file?.bytes === undefined ? { url: file?.uri ?? "", ...more } : { raw: file.bytes, ...more };
});

/** An answer or an event of 1.0, as JSON. */
export function seenV10(json: unknown): Seen {
  const { task, message, statusUpdate, artifactUpdate } = json as Record<string, never>;
  if (task !== undefined) return readerV10.task(task);
  if (message !== undefined) return readerV10.message(message);
  return readerV10.update(statusUpdate ?? artifactUpdate ?? (json as never));
}
export const seenTaskV10 = (json: unknown): SeenTask => readerV10.task(json as never);

/** An answer or an event of 0.2 or 0.3, as JSON-RPC has it. */
export function seenV03(json: unknown): Seen {
  const { kind } = json as { kind: string };
  if (kind === "task") return readerV03.task(json as never);
  if (kind === "message") return readerV03.message(json as never);
  return readerV03.update(json as never);
}

interface TaskV01Answer {
  readonly id: string;
  readonly sessionId?: string;
  readonly status: StatusV01;
  readonly artifacts?: readonly ArtifactV01[];
  readonly history?: readonly MessageV01[];
}

const readerV01 = new Reader((part: PartV01) => pieceOfV01(part));
const artifactOfV01 = ({ name = "", parts }: ArtifactV01) => ({ artifactId: name, parts });

export const seenTaskV01 = ({ sessionId = "", artifacts = [], ...task }: TaskV01Answer): SeenTask =>
  readerV01.task({ ...task, contextId: sessionId, artifacts: artifacts.map(artifactOfV01) });

/** An event of 0.1. */
export function seenV01(json: unknown): Seen {
  const { id: taskId, status, artifact } = json as { id: string; status?: StatusV01; artifact?: ArtifactV01 };
  if (status !== undefined) return readerV01.update({ taskId, status });
  const { append = false, lastChunk = false } = artifact ?? {};
  return readerV01.update({ taskId, ...(artifact && { artifact: artifactOfV01(artifact) }), append, lastChunk });
}

interface AnyCard {
  readonly name: string;
  readonly url?: string;
  readonly skills: readonly { readonly id: string }[];
  readonly supportedInterfaces?: readonly { readonly url: string }[];
  readonly additionalInterfaces?: readonly { readonly url: string }[];
}

export function seenCard(json: unknown): SeenCard {
  const { name, url, skills, supportedInterfaces = [], additionalInterfaces = [] } = json as AnyCard;
  const urls = [...supportedInterfaces, ...additionalInterfaces].map((served) => served.url);
  const all = new Set(url === undefined ? urls : [url, ...urls]);
  return { name, skills: skills.map(({ id }) => id), urls: [...all].toSorted() };
}
