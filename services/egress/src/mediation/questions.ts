import { randomBytes } from "node:crypto";
import { Fault, sessionNameOf, type CallHead } from "@sluice/contracts";
import { resultOf, RpcError, textOf, type Members, type Request, type RpcMessage } from "./rpc.ts";

/** Questions that an upstream may have open during one call. */
const mostOpen = 100;

interface Asked {
  readonly owner: string;
  readonly settle: (message: RpcMessage) => void;
}

/** Requests to legacy agents that wait for their answers. Their ids name this replica, so that any ingress finds it. */
export class Questions {
  readonly #prefix: string;
  readonly #asked = new Map<string, Asked>();
  /** How many are open, by call. */
  readonly #open = new Map<string, number>();

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
    const open = this.#open.get(head.call) ?? 0;
    requireRoom(open);
    this.#open.set(head.call, open + 1);
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
      const left = (this.#open.get(head.call) ?? 1) - 1;
      if (left === 0) this.#open.delete(head.call);
      else this.#open.set(head.call, left);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Takes an answer; one to a question that nobody asked this caller in this session is passed over. */
  take(message: RpcMessage, head: CallHead): void {
    const asked = this.#asked.get(textOf(message.id));
    if (asked?.owner === ownerOf(head)) asked.settle(message);
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

/** @throws RpcError where an upstream asks more at once than anybody answers. */
export function requireRoom(open: number): void {
  if (open >= mostOpen)
    throw new RpcError(-32603, `${mostOpen} requests to the client are open: wait for their answers`);
}

function ownerOf({ tenant, identity, session }: CallHead): string {
  return `${tenant}\0${identity}\0${session === undefined ? "" : sessionNameOf(session.id)}`;
}
