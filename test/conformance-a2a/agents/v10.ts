import { randomUUID } from "node:crypto";
import { AgentCard, Artifact, Message, Task, TaskStatus, AGENT_CARD_PATH } from "@a2a-js/sdk";
import {
  AgentEvent,
  DefaultRequestHandler,
  InMemoryTaskStore,
  type AgentExecutionEvent,
  type AgentExecutor,
  type RequestContext,
} from "@a2a-js/sdk/server";
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from "@a2a-js/sdk/server/express";
import express from "express";
import { behave } from "./behaviours.ts";
import { Cancelled, type Gates } from "./gates.ts";
import { jsonRpcPath, restPath, secretSkill, skills, type AgentParts, type BuiltAgent } from "./parts.ts";
import type { Happening, Piece, State, Turn } from "./words.ts";

/** An agent of 1.0 by the official SDK, both bindings, deaf to 0.3. */
export function buildV10({ url, name, bindings, gates }: AgentParts): BuiltAgent {
  const paths = { JSONRPC: jsonRpcPath, "HTTP+JSON": restPath };
  const supportedInterfaces = bindings.map((protocolBinding) => ({
    url: `${url}${paths[protocolBinding]}`,
    protocolBinding,
    protocolVersion: "1.0",
  }));
  const card = (more: object = {}) =>
    AgentCard.fromJSON({
      name,
      description: "Does what it is told",
      version: "1.0.0",
      supportedInterfaces,
      capabilities: { streaming: true, pushNotifications: true, extendedAgentCard: true },
      defaultInputModes: ["text/plain"],
      defaultOutputModes: ["text/plain"],
      skills,
      ...more,
    });
  const requestHandler = new DefaultRequestHandler(
    card(),
    new InMemoryTaskStore(),
    executor(gates),
    undefined,
    undefined,
    undefined,
    () => Promise.resolve(card({ skills: [...skills, secretSkill] })),
  );
  const served = { requestHandler, userBuilder: UserBuilder.noAuthentication };
  const app = express();
  app.use(`/${AGENT_CARD_PATH}`, agentCardHandler({ agentCardProvider: requestHandler }));
  if (bindings.includes("JSONRPC")) app.use(jsonRpcPath, jsonRpcHandler(served));
  if (bindings.includes("HTTP+JSON")) app.use(restPath, restHandler(served));
  return { listener: app, cardPath: `/${AGENT_CARD_PATH}`, jsonRpcPath, restPath };
}

const executor = (gates: Gates): AgentExecutor => ({
  async execute(context, bus) {
    // The SDK wants a stream to begin with the task, that of a follow-up too.
    if (context.task !== undefined) bus.publish(AgentEvent.task({ ...context.task, status: statusOf("working") }));
    try {
      for await (const happening of behave(turnOf(context), gates)) bus.publish(eventOf(happening, context));
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
    }
  },
  cancelTask(taskId, bus) {
    gates.cancel(taskId);
    bus.publish(AgentEvent.statusUpdate({ taskId, contextId: "", status: statusOf("canceled"), metadata: undefined }));
    bus.finished();
    return Promise.resolve();
  },
});

function turnOf({ taskId, contextId, task, userMessage }: RequestContext): Turn {
  const {
    messageId,
    parts = [],
    referenceTaskIds = [],
  } = Message.toJSON(userMessage) as {
    messageId: string;
    parts?: Piece[];
    referenceTaskIds?: string[];
  };
  return {
    task: taskId,
    context: contextId,
    isFollowUp: task !== undefined,
    messageId,
    pieces: parts,
    references: referenceTaskIds,
  };
}

const messageOf = (pieces: readonly Piece[], ids: object = {}) =>
  Message.fromJSON({ messageId: randomUUID(), role: "ROLE_AGENT", parts: pieces, ...ids });

function statusOf(state: State, text?: string, ids?: object): TaskStatus {
  return TaskStatus.fromJSON({
    state: `TASK_STATE_${state.toUpperCase().replaceAll("-", "_")}`,
    timestamp: new Date().toISOString(),
    ...(text !== undefined && { message: Message.toJSON(messageOf([{ text }], ids)) }),
  });
}

function eventOf(happening: Happening, { taskId, contextId, userMessage }: RequestContext): AgentExecutionEvent {
  switch (happening.is) {
    case "message":
      return AgentEvent.message(messageOf(happening.pieces, { contextId }));
    case "task": {
      const task = Task.fromJSON({ id: taskId, contextId });
      return AgentEvent.task({ ...task, status: statusOf("submitted"), history: [userMessage] });
    }
    case "status": {
      const status = statusOf(happening.state, happening.text, { taskId, contextId });
      return AgentEvent.statusUpdate({ taskId, contextId, status, metadata: undefined });
    }
    case "artifact": {
      const artifact = Artifact.fromJSON({ artifactId: happening.id, parts: happening.pieces });
      const { append = false, last: lastChunk = false } = happening;
      return AgentEvent.artifactUpdate({ taskId, contextId, artifact, append, lastChunk, metadata: undefined });
    }
  }
}
