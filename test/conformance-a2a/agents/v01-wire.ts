import type { Happening, Piece, State } from "./words.ts";

/** Shapes of 0.1 (https://a2a-protocol.org/v0.1.0/specification). */
export type PartV01 =
  | { type: "text"; text: string }
  | { type: "file"; file: { name?: string; mimeType?: string; bytes?: string; uri?: string } }
  | { type: "data"; data: unknown };

export interface MessageV01 {
  role: "user" | "agent";
  parts: PartV01[];
  metadata?: Record<string, unknown>;
}

export interface StatusV01 {
  state: State | "unknown";
  message?: MessageV01;
  timestamp: string;
}

export interface ArtifactV01 {
  name?: string;
  parts: PartV01[];
  index: number;
  append?: boolean;
  lastChunk?: boolean;
}

export interface TaskV01 {
  id: string;
  sessionId: string;
  status: StatusV01;
  artifacts: ArtifactV01[];
  history: MessageV01[];
  metadata?: Record<string, unknown>;
}

export type EventV01 = { id: string; status: StatusV01; final: boolean } | { id: string; artifact: ArtifactV01 };

export function pieceOfV01(part: PartV01): Piece {
  if (part.type === "text") return { text: part.text };
  if (part.type === "data") return { data: part.data };
  const { bytes, uri = "", mimeType, name } = part.file;
  const named = {
    ...(mimeType !== undefined && { mediaType: mimeType }),
    ...(name !== undefined && { filename: name }),
  };
  return bytes === undefined ? { url: uri, ...named } : { raw: bytes, ...named };
}

export function partOfV01(piece: Piece): PartV01 {
  if ("text" in piece) return { type: "text", text: piece.text };
  if ("data" in piece) return { type: "data", data: piece.data };
  const named = {
    ...(piece.mediaType !== undefined && { mimeType: piece.mediaType }),
    ...(piece.filename !== undefined && { name: piece.filename }),
  };
  return { type: "file", file: "raw" in piece ? { bytes: piece.raw, ...named } : { uri: piece.url, ...named } };
}

export function statusOfV01(state: State, pieces: readonly Piece[] = []): StatusV01 {
  const message = pieces.length > 0 && { message: { role: "agent" as const, parts: pieces.map(partOfV01) } };
  return { state: state === "rejected" ? "failed" : state, ...message, timestamp: new Date().toISOString() };
}

/** What a happening is in 0.1, which knows neither messages alone nor an event for a new task. */
export function eventOfV01(task: TaskV01, happening: Happening): EventV01 | undefined {
  const { id } = task;
  if (happening.is === "task") return undefined;
  if (happening.is === "message") return { id, status: statusOfV01("completed", happening.pieces), final: true };
  if (happening.is === "status") {
    const { state, text } = happening;
    const status = statusOfV01(state, text === undefined ? [] : [{ text }]);
    return { id, status, final: state !== "working" && state !== "submitted" };
  }
  const known = task.artifacts.find(({ name }) => name === happening.id);
  const index = known?.index ?? task.artifacts.length;
  const parts = happening.pieces.map(partOfV01);
  const { append = false, last: lastChunk = false } = happening;
  return { id, artifact: { name: happening.id, parts, index, append, lastChunk } };
}

/** Keeps in a task what an event says. */
export function applyV01(task: TaskV01, event: EventV01): void {
  if ("status" in event) {
    task.status = event.status;
    return;
  }
  const { artifact } = event;
  const known = task.artifacts.find(({ index }) => index === artifact.index);
  if (known === undefined) task.artifacts.push({ ...artifact, parts: [...artifact.parts] });
  else if (artifact.append) known.parts.push(...artifact.parts);
  else known.parts = [...artifact.parts];
}
