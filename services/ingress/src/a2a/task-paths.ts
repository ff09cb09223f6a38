import type { ServerResponse } from "node:http";
import type { Answer } from "../answer.ts";
import { Body } from "../body.ts";
import type { BodyBudget } from "../budget.ts";
import { thisMoment } from "../outcome.ts";
import { gather, type Outcome } from "../path-answer.ts";
import type { RpcError } from "../refusal.ts";
import { PlainFault, RequestFault } from "../request-fault.ts";
import { A2aFault } from "./a2a-fault.ts";
import { toldTo, versionOf, type A2a, type A2aHttpRequest } from "./a2a.ts";
import { formOfQuery, readTaskForm, taskMessage, type TaskForm, type TaskPath } from "./task-form.ts";

export interface TaskPathsOptions {
  readonly a2a: A2a;
  readonly budget: BodyBudget;
}

/**
 * The paths of seed 001 §1, for the tenant's default agent: JSON-RPC of any revision, or its parameters alone, which are
 * answered with the result alone. A stream's events are JSON-RPC in both cases.
 */
export class TaskPaths {
  readonly #options: TaskPathsOptions;

  constructor(options: TaskPathsOptions) {
    this.#options = options;
  }

  /** @throws A2aFault where JSON-RPC was sent, else PlainFault */
  async carry(received: A2aHttpRequest, path: TaskPath): Promise<void> {
    const started = thisMoment();
    let form: TaskForm | undefined;
    // What is carried out sees to that itself.
    let isOnRecord = false;
    try {
      using sent = await this.#bodyOf(received);
      form = await readTaskForm(sent.bytes);
      const message = taskMessage(path, form, versionOf(received.request));
      if (form.isRpc) return await this.#options.a2a.carry({ ...received, started }, sent);
      using body = this.#held(received, message);
      sent.release();
      const plain = { ...received, ...asPost(received), started, isPlain: true };
      isOnRecord = true;
      const carry = (response: Answer) => this.#options.a2a.carry({ ...plain, response }, body);
      if (path === "sendSubscribe") return await carry(received.response);
      const budget = this.#options.budget.of(received.principal);
      write(received.response, await gather({ response: received.response, budget, carry }));
    } catch (error) {
      throw form?.isRpc === true ? told(received, form, error) : new PlainFault(error, { isOnRecord });
    }
  }

  async #bodyOf(received: A2aHttpRequest): Promise<Body> {
    const { request } = received;
    if (request.method === "POST") return await this.#options.a2a.bodyOf(received);
    return new Body(formOfQuery(new URLSearchParams(request.url?.split("?", 2)[1])));
  }

  #held({ principal }: A2aHttpRequest, message: Buffer): Body {
    const hold = this.#options.budget.of(principal).open();
    hold.resize(message.length);
    return new Body(message, () => hold.release());
  }
}

function told(received: A2aHttpRequest, { rpcId }: TaskForm, error: unknown): RequestFault {
  return error instanceof RequestFault ? error : new A2aFault(error, { ...toldTo(received), rpcId });
}

function asPost({ request }: A2aHttpRequest) {
  const { method, url, headers } = request;
  return { request: { method: "POST", url, headers }, ...(method !== undefined && { cameBy: method }) };
}

/** How errors of the protocol are told by status (A2A 1.0 §5.4). */
const known: Readonly<Record<number, { readonly status: number; readonly error: string }>> = {
  [-32001]: { status: 404, error: "task_not_found" },
  [-32002]: { status: 409, error: "conflict" },
  [-32005]: { status: 415, error: "unsupported_media_type" },
  [-32006]: { status: 502, error: "upstream_failed" },
  [-32603]: { status: 502, error: "upstream_failed" },
};

function write(response: ServerResponse, { result, error }: Outcome): void {
  if (response.destroyed) return;
  const body = result ?? plainError(error);
  const [status, bytes] = Buffer.isBuffer(body) ? [200, body] : [body.status, Buffer.from(body.text)];
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length });
  response.end(bytes);
}

function plainError(error: Buffer | undefined): { status: number; text: string } {
  const { code = 0, message, data } = JSON.parse(error?.toString("utf8") ?? "{}") as Partial<RpcError>;
  const { status, error: kind } = known[code] ?? { status: 400, error: "invalid_request" };
  return { status, text: JSON.stringify({ error: kind, code, message, data }) };
}
