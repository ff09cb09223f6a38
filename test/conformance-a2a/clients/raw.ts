import { parseSseStream } from "@a2a-js/sdk";
import { seenCard } from "./seen.ts";
import { startTape, type Tape } from "./tape.ts";
import type { ClientOptions, SeenCard } from "./client.ts";

/** A JSON-RPC client of the revisions that have no SDK any more, by hand. */
export interface RawClient {
  readonly tape: Tape;
  readonly card: SeenCard;
  call(method: string, params: object): Promise<unknown>;
  stream(method: string, params: object, signal?: AbortSignal): AsyncIterable<unknown>;
}

interface RpcAnswer {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** Reads the card at the path that it had up to 0.2, and speaks to the address in it. */
export async function connectRaw({ baseUrl, headers }: ClientOptions): Promise<RawClient> {
  const tape = startTape(headers);
  const cardAnswer = await tape.fetch(`${baseUrl}/.well-known/agent.json`);
  if (!cardAnswer.ok) throw new Error(`no card: ${cardAnswer.status} ${await cardAnswer.text()}`);
  const card = (await cardAnswer.json()) as { readonly url: string };
  let lastId = 0;
  const post = async (method: string, params: object, signal: AbortSignal | null = null) => {
    const id = ++lastId;
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const accept = "application/json, text/event-stream";
    const sent = { "content-type": "application/json", accept };
    return { id, response: await tape.fetch(card.url, { method: "POST", headers: sent, body, signal }) };
  };
  const resultOf = (answer: RpcAnswer, id: number): unknown => {
    if (answer.error !== undefined) throw new Error(answer.error.message);
    if (answer.id !== id) throw new Error(`an answer to ${JSON.stringify(answer.id)} instead of ${id}`);
    return answer.result;
  };
  return {
    tape,
    card: seenCard(card),
    call: (method, params) =>
      tape.run(async () => {
        const { id, response } = await post(method, params);
        return resultOf((await response.json()) as RpcAnswer, id);
      }),
    stream: (method, params, signal) =>
      tape.iterate(async function* () {
        const { id, response } = await post(method, params, signal);
        if (!response.headers.get("content-type")?.startsWith("text/event-stream"))
          return yield resultOf((await response.json()) as RpcAnswer, id);
        for await (const { data } of parseSseStream(response)) yield resultOf(JSON.parse(data) as RpcAnswer, id);
      }),
  };
}
