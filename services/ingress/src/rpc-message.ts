import { compile, raw, scan, text } from "@sluice/json";

/** What ingress wants to know of a message for the client before it is put among others; the bytes are relayed. */
export interface RpcMessage {
  /** The request's id as `sameId` writes it, where the message answers one. */
  readonly answers: string | undefined;
  /** The raw `error` of an answer that has one. */
  readonly error: Buffer | undefined;
  /** What an `initialize` was answered: the protocol revision. */
  readonly protocolVersion: string | undefined;
}

const plan = compile([["id"], ["method"], ["error"], ["result", "protocolVersion"]], []);

/** Undefined where the bytes are no JSON object: they cannot stand among messages. */
export function readMessage(bytes: Buffer): RpcMessage | undefined {
  const seen = scan(bytes, plan);
  if (!seen.ok || seen.root.kind !== "object") return undefined;
  const [id, method, error, version] = seen.values;
  return {
    answers: id === undefined || method !== undefined ? undefined : sameId(raw(bytes, id).toString("utf8")),
    error: error === undefined || method !== undefined ? undefined : raw(bytes, error),
    protocolVersion: text(bytes, version),
  };
}

/** An id in the one spelling that all its spellings have: who answers may write it in another than who asked. */
export function sameId(rawId: string): string {
  return JSON.stringify(JSON.parse(rawId));
}

/** An upstream's error that names no request, as the answer to the request that it refuses. */
export function errorMessage(rpcId: string, error: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`{"jsonrpc":"2.0","id":${rpcId},"error":`), error, Buffer.from("}")]);
}
