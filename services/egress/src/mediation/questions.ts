import { randomBytes } from "node:crypto";
import { Fault, sessionNameOf, type CallHead } from "@sluice/contracts";
import { resultOf, RpcError, textOf, type Members, type Request, type RpcMessage } from "./rpc.ts";

interface Asked {
  readonly owner: string;
  readonly settle: (message: RpcMessage) => void;
}

/** Requests to legacy agents that wait for their answers. Their ids name this replica, so that any ingress finds it. */
export class Questions {
  readonly #prefix: string;
  readonly #asked = new Map<string, Asked>();

  constructor(instance: string) {
    this.#prefix = `slq.${instance}.`;
  }

  /** Puts a request to the agent of this call. @throws RpcError for its refusal, Fault where the call ends before. */
  async put(
    request: Request,
    {
      head,
      signal,
      send,
    }: {
      head: CallHead;
      signal: AbortSignal;
      send: (message: unknown) => void;
    },
  ): Promise<Members> {
    const id = this.#prefix + randomBytes(12).toString("base64url");
    const answer = Promise.withResolvers<RpcMessage>();
    const onAbort = () => answer.reject(new Fault("client_left", "the client left"));
    signal.addEventListener("abort", onAbort, { once: true });
    this.#asked.set(id, { owner: ownerOf(head), settle: answer.resolve });
    try {
      send({ jsonrpc: "2.0", id, ...request });
      return resultOf(await answer.promise);
    } finally {
      this.#asked.delete(id);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Takes an answer; false where nobody asked this agent in this session so. */
  take(message: RpcMessage, head: CallHead): boolean {
    const asked = this.#asked.get(textOf(message.id));
    if (asked === undefined || asked.owner !== ownerOf(head)) return false;
    asked.settle(message);
    return true;
  }
}

/** What a client said that it can be asked. */
const needed: Readonly<Record<string, string>> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

/** @throws RpcError where the client did not say that it can be asked this. */
export function requireCapability({ method }: Request, capabilities: Members): void {
  const capability = Object.hasOwn(needed, method) ? needed[method] : undefined;
  if (capability === undefined || capabilities[capability] === undefined)
    throw new RpcError(-32601, `the client does not support ${method}`);
}

function ownerOf({ tenant, agent, session }: CallHead): string {
  return `${tenant}\0${agent.id}\0${session === undefined ? "" : sessionNameOf(session.id)}`;
}
