import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { Fault } from "@sluice/contracts";
import { compile, explain, raw, scanAsync } from "@sluice/json";
import type { Log } from "@sluice/telemetry";
import { Batch } from "./batch.ts";
import type { Body } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import type { McpRequest, RefusedMessage } from "./mcp.ts";
import { readOperation, type Operation } from "./operation.ts";
import { RequestFault } from "./request-fault.ts";

/** A request as it came over HTTP. */
export interface HttpRequest extends McpRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Carries out one message, or puts on record that it could not be read; `Mcp` does. */
export interface Carrier {
  refuse(arrived: RefusedMessage, fault: Fault): Fault;
  carry(arrived: McpRequest, body: Body): Promise<void>;
}

export interface BatchesOptions {
  readonly budget: BodyBudget;
  readonly log: Log;
  readonly keepAliveMs: number;
  /** Messages that one batch may have. */
  readonly maxMessages: number;
}

/** One message of a batch, or why it is none. */
export type BatchMessage =
  | { readonly body: Body; readonly operation: Operation; readonly fault?: never }
  | { readonly fault: Fault; readonly bytes: number; readonly operation?: never };

/** The revisions that have batches; a request without a version is taken for one of them (MCP 2025-03-26, Transports). */
const versionsWithBatches: readonly (string | undefined)[] = [undefined, "2024-11-05", "2025-03-26"];
const plan = compile([{ path: [], items: true }], []);

/** Whether the body is an array, as far as its first character tells. */
export function isBatch(body: Buffer): boolean {
  let at = 0;
  while (at < body.length && isSpace(body[at])) at++;
  return body[at] === 0x5b;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Takes JSON-RPC batches apart: every message is admitted, recorded and forwarded by itself (A10). */
export class Batches {
  readonly #options: BatchesOptions;

  constructor(options: BatchesOptions) {
    this.#options = options;
  }

  /** @throws Fault where the batch as a whole cannot be accepted; RequestFault where each of its messages is on record. */
  async carry(carrier: Carrier, arrived: HttpRequest, body: Body): Promise<void> {
    const messages = await this.read(body, arrived.request.headers);
    await new Batch({ ...this.#options, carrier, arrived, messages }).run().catch((error: unknown) => {
      throw new RequestFault(error, { isOnRecord: true });
    });
  }

  /**
   * The messages of a batch with their bytes as they came.
   * @throws Fault `parse_error` where the batch is not unambiguous JSON, `invalid_request` where none is allowed.
   */
  async read(body: Body, headers: IncomingHttpHeaders): Promise<BatchMessage[]> {
    const { maxMessages } = this.#options;
    const version = headers["mcp-protocol-version"];
    if (Array.isArray(version) || !versionsWithBatches.includes(version)) throw notAccepted();
    const seen = await scanAsync(body.bytes, plan, { maxItems: maxMessages });
    if (!seen.ok && seen.error.kind === "too_many_items")
      throw new Fault("invalid_request", `a batch may hold at most ${maxMessages} messages`);
    if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
    const items = seen.values[0]?.items ?? [];
    if (items.length === 0) throw new Fault("invalid_request", "a batch must hold at least one message");
    const messages: BatchMessage[] = [];
    for (const part of body.cut(items.map((item) => raw(body.bytes, item))))
      messages.push(await readOne(part, headers));
    return messages;
  }
}

async function readOne(body: Body, headers: IncomingHttpHeaders): Promise<BatchMessage> {
  let operation: Operation;
  try {
    operation = await readOperation(body.bytes, headers);
  } catch (error) {
    body.release();
    if (error instanceof Fault) return { fault: error, bytes: body.length };
    throw error;
  }
  if (operation.era === "modern") throw notAccepted();
  if (operation.method === "initialize")
    throw new Fault("invalid_request", "initialize must not be part of a batch: send it by itself");
  return { body, operation };
}

function notAccepted(): Fault {
  return new Fault("invalid_request", "batches are not accepted: send one message per request");
}
