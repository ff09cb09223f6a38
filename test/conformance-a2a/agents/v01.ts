import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import express, { type Response } from "express";
import { behave } from "./behaviours.ts";
import { Cancelled } from "./gates.ts";
import { jsonRpcPath, skills, type AgentParts, type BuiltAgent } from "./parts.ts";
import {
  applyV01,
  eventOfV01,
  pieceOfV01,
  statusOfV01,
  type EventV01,
  type MessageV01,
  type TaskV01,
} from "./v01-wire.ts";
import { isOver, type State } from "./words.ts";

interface Push {
  url: string;
  token?: string;
  authentication?: { schemes: string[]; credentials?: string };
}

interface SendParams {
  id: string;
  sessionId?: string;
  message: MessageV01;
  historyLength?: number;
  pushNotification?: Push;
}

interface Rpc {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: SendParams & { readonly pushNotificationConfig?: Push };
}

class RpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A task, whoever listens to it, and where it is pushed to. */
class Kept extends EventEmitter<{ event: [EventV01]; rest: [] }> {
  readonly task: TaskV01;
  push: Push | undefined;
  isBusy = false;

  constructor(id: string, sessionId: string) {
    super();
    this.setMaxListeners(0);
    this.task = { id, sessionId, status: statusOfV01("submitted"), artifacts: [], history: [] };
  }
}

const isFinal = (event: EventV01) => "final" in event && event.final;

/** A small agent of 0.1, JSON-RPC, whose tasks have the ids that their clients choose. */
export function buildV01({ url, name, gates }: AgentParts): BuiltAgent {
  const cardPath = "/.well-known/agent.json";
  const card = {
    name,
    description: "Does what it is told",
    url: `${url}${jsonRpcPath}`,
    version: "1.0.0",
    capabilities: { streaming: true, pushNotifications: true, stateTransitionHistory: false },
    authentication: { schemes: ["public"] },
    defaultInputModes: ["text"],
    defaultOutputModes: ["text"],
    skills,
  };
  const agent = new AgentV01(gates);
  const app = express();
  app.get(cardPath, (_request, response) => void response.json(card));
  app.post(jsonRpcPath, express.json({ limit: "8mb" }), (request, response) => {
    void answerTo(agent, request.body as Rpc, response);
  });
  return { listener: app, cardPath, jsonRpcPath };
}

async function answerTo(agent: AgentV01, call: Rpc, response: Response): Promise<void> {
  const { id = null } = call;
  try {
    await agent.answer(call, response);
  } catch (error) {
    const { code, message } = error instanceof RpcError ? error : new RpcError(-32_603, String(error));
    response.json({ jsonrpc: "2.0", id, error: { code, message } });
  }
}

class AgentV01 {
  readonly #gates: AgentParts["gates"];
  readonly #tasks = new Map<string, Kept>();

  constructor(gates: AgentParts["gates"]) {
    this.#gates = gates;
  }

  async answer({ id = null, method = "", params }: Rpc, response: Response): Promise<void> {
    if (params?.id === undefined) throw new RpcError(-32_602, "params.id is missing");
    const result = (value: unknown) => void response.json({ jsonrpc: "2.0", id, result: value });
    switch (method) {
      case "tasks/send": {
        const kept = this.#begin(params);
        if (kept.isBusy) await once(kept, "rest");
        return result(view(kept.task, params.historyLength));
      }
      case "tasks/sendSubscribe":
        return stream(this.#begin(params), id, response);
      case "tasks/resubscribe":
        return stream(this.#kept(params.id), id, response);
      case "tasks/get":
        return result(view(this.#kept(params.id).task, params.historyLength));
      case "tasks/cancel":
        return result(view(this.#cancel(params.id)));
      case "tasks/pushNotification/set": {
        if (params.pushNotificationConfig === undefined) throw new RpcError(-32_602, "no pushNotificationConfig");
        this.#kept(params.id).push = params.pushNotificationConfig;
        return result({ id: params.id, pushNotificationConfig: params.pushNotificationConfig });
      }
      case "tasks/pushNotification/get": {
        const { push } = this.#kept(params.id);
        if (push === undefined) throw new RpcError(-32_603, "no push notification is set");
        return result({ id: params.id, pushNotificationConfig: push });
      }
      default:
        throw new RpcError(-32_601, `Method not found: ${method}`);
    }
  }

  #kept(id: string): Kept {
    const kept = this.#tasks.get(id);
    if (kept === undefined) throw new RpcError(-32_001, "Task not found");
    return kept;
  }

  #begin({ id, sessionId, message, pushNotification }: SendParams): Kept {
    const known = this.#tasks.get(id);
    if (known !== undefined && isOver(known.task.status.state as State))
      throw new RpcError(-32_600, "the task has ended");
    const kept = known ?? new Kept(id, sessionId ?? randomUUID());
    this.#tasks.set(id, kept);
    kept.task.history.push(message);
    if (pushNotification !== undefined) kept.push = pushNotification;
    kept.isBusy = true;
    void this.#work(kept, message, known !== undefined);
    return kept;
  }

  async #work(kept: Kept, message: MessageV01, isFollowUp: boolean): Promise<void> {
    const { task } = kept;
    const pieces = message.parts.map(pieceOfV01);
    const turn = { task: task.id, context: task.sessionId, isFollowUp, messageId: "", pieces, references: [] };
    try {
      for await (const happening of behave(turn, this.#gates)) {
        const event = eventOfV01(task, happening);
        if (event !== undefined) this.#tell(kept, event);
      }
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
    }
  }

  #tell(kept: Kept, event: EventV01): void {
    applyV01(kept.task, event);
    kept.emit("event", event);
    if (kept.push !== undefined) void push(kept.push, kept.task);
    if (!isFinal(event)) return;
    kept.isBusy = false;
    kept.emit("rest");
  }

  #cancel(id: string): TaskV01 {
    const kept = this.#kept(id);
    if (isOver(kept.task.status.state as State)) throw new RpcError(-32_002, "Task cannot be canceled");
    this.#gates.cancel(id);
    this.#tell(kept, { id, status: statusOfV01("canceled"), final: true });
    return kept.task;
  }
}

function view({ history, ...task }: TaskV01, historyLength = 0): object {
  return historyLength > 0 ? { ...task, history: history.slice(-historyLength) } : task;
}

/** Sends what comes from now on; 0.1 has no snapshot at the beginning. */
function stream(kept: Kept, id: unknown, response: Response): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.flushHeaders();
  const send = (result: unknown) => response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`);
  if (!kept.isBusy) {
    send({ id: kept.task.id, status: kept.task.status, final: true });
    return void response.end();
  }
  const listen = (event: EventV01) => {
    send(event);
    if (isFinal(event)) response.end();
  };
  kept.on("event", listen);
  response.once("close", () => kept.off("event", listen));
}

async function push({ url, token, authentication }: Push, task: TaskV01): Promise<void> {
  const headers = {
    "content-type": "application/json",
    ...(token !== undefined && { "x-a2a-notification-token": token }),
    ...(authentication?.credentials !== undefined && {
      authorization: `${authentication.schemes[0]} ${authentication.credentials}`,
    }),
  };
  await fetch(url, { method: "POST", headers, body: JSON.stringify(view(task)) }).catch(() => {});
}
