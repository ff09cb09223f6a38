import { randomUUID } from "node:crypto";
import { AGENT_CARD_PATH, type AgentCard, type Message, type Part, type TaskStatus } from "a2a-sdk-0.3";
import {
  DefaultRequestHandler,
  InMemoryTaskStore,
  type AgentExecutionEvent,
  type AgentExecutor,
  type RequestContext,
} from "a2a-sdk-0.3/server";
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from "a2a-sdk-0.3/server/express";
import express from "express";
import { behave } from "./behaviours.ts";
import { Cancelled, type Gates } from "./gates.ts";
import { jsonRpcPath, restPath, secretSkill, skills, type AgentParts, type BuiltAgent } from "./parts.ts";
import { endsStream, type Happening, type Piece, type State } from "./words.ts";

/** An agent of 0.3 by the official SDK of then, both bindings. */
export function buildV03(parts: AgentParts): BuiltAgent {
  const requestHandler = handlerV03(parts);
  const { bindings } = parts;
  const served = { requestHandler, userBuilder: UserBuilder.noAuthentication };
  const app = express();
  app.use(`/${AGENT_CARD_PATH}`, agentCardHandler({ agentCardProvider: requestHandler }));
  if (bindings.includes("JSONRPC")) app.use(jsonRpcPath, jsonRpcHandler(served));
  if (bindings.includes("HTTP+JSON")) app.use(restPath, restHandler(served));
  return { listener: app, cardPath: `/${AGENT_CARD_PATH}`, jsonRpcPath, restPath };
}

/** What an agent of 0.3 does, apart from how it is reached. */
export function handlerV03({ url, name, bindings, gates }: AgentParts): DefaultRequestHandler {
  const [preferred = "JSONRPC"] = bindings;
  const paths = { JSONRPC: jsonRpcPath, "HTTP+JSON": restPath };
  const card: AgentCard = {
    name,
    description: "Does what it is told",
    protocolVersion: "0.3.0",
    version: "1.0.0",
    url: `${url}${paths[preferred]}`,
    preferredTransport: preferred,
    additionalInterfaces: bindings.map((transport) => ({ transport, url: `${url}${paths[transport]}` })),
    capabilities: { streaming: true, pushNotifications: true },
    supportsAuthenticatedExtendedCard: true,
    defaultInputModes: ["text/plain"],
    defaultOutputModes: ["text/plain"],
    skills,
  };
  const extended = () => Promise.resolve({ ...card, skills: [...skills, secretSkill] });
  return new DefaultRequestHandler(
    card,
    new InMemoryTaskStore(),
    executor(gates),
    undefined,
    undefined,
    undefined,
    extended,
  );
}

const executor = (gates: Gates): AgentExecutor => ({
  async execute(context, bus) {
    const { taskId, contextId, task, userMessage } = context;
    const { messageId, parts, referenceTaskIds: references = [] } = userMessage;
    const pieces = parts.map(pieceOf);
    const turn = { task: taskId, context: contextId, isFollowUp: task !== undefined, messageId, pieces, references };
    try {
      for await (const happening of behave(turn, gates)) bus.publish(eventOf(happening, context));
    } catch (error) {
      if (error instanceof Cancelled) return;
      throw error;
    }
    bus.finished();
  },
  cancelTask(taskId, bus) {
    gates.cancel(taskId);
    const status = statusOf("canceled");
    bus.publish({ kind: "status-update", taskId, contextId: "", status, final: true });
    bus.finished();
    return Promise.resolve();
  },
});

function pieceOf(part: Part): Piece {
  if (part.kind === "text") return { text: part.text };
  if (part.kind === "data") return { data: part.data };
  const { file } = part;
  const named = {
    ...(file.mimeType !== undefined && { mediaType: file.mimeType }),
    ...(file.name !== undefined && { filename: file.name }),
  };
  return "bytes" in file ? { raw: file.bytes, ...named } : { url: file.uri, ...named };
}

export function partOfV03(piece: Piece): Part {
  if ("text" in piece) return { kind: "text", text: piece.text };
  if ("data" in piece) return { kind: "data", data: piece.data as Record<string, unknown> };
  const named = {
    ...(piece.mediaType !== undefined && { mimeType: piece.mediaType }),
    ...(piece.filename !== undefined && { name: piece.filename }),
  };
  return { kind: "file", file: "raw" in piece ? { bytes: piece.raw, ...named } : { uri: piece.url, ...named } };
}

const messageOf = (pieces: readonly Piece[], ids: object): Message => ({
  kind: "message",
  messageId: randomUUID(),
  role: "agent",
  parts: pieces.map(partOfV03),
  ...ids,
});

function statusOf(state: State, text?: string, ids: object = {}): TaskStatus {
  const timestamp = new Date().toISOString();
  return { state, timestamp, ...(text !== undefined && { message: messageOf([{ text }], ids) }) };
}

function eventOf(happening: Happening, { taskId, contextId, userMessage }: RequestContext): AgentExecutionEvent {
  switch (happening.is) {
    case "message":
      return messageOf(happening.pieces, { contextId });
    case "task":
      return { kind: "task", id: taskId, contextId, status: statusOf("submitted"), history: [userMessage] };
    case "status": {
      const status = statusOf(happening.state, happening.text, { taskId, contextId });
      return { kind: "status-update", taskId, contextId, status, final: endsStream(happening.state) };
    }
    case "artifact": {
      const artifact = { artifactId: happening.id, parts: happening.pieces.map(partOfV03) };
      const { append = false, last: lastChunk = false } = happening;
      return { kind: "artifact-update", taskId, contextId, artifact, append, lastChunk };
    }
  }
}
