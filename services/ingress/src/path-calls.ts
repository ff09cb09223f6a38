import type { ServerResponse } from "node:http";
import { Fault, type IngressSection } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { HttpRequest } from "./batches.ts";
import { readBody, requireJson, type BodyBudget } from "./body.ts";
import type { Mcp } from "./mcp.ts";
import { gather, initializeResult, plainError, registeredTools, type Outcome } from "./path-answer.ts";
import { readForm, readPathCall, type Form, type PathCall, type PathMethod } from "./path-call.ts";
import { renderPlainFault } from "./render.ts";
import { reportedFault, RequestFault } from "./request-fault.ts";
import type { Tenants } from "./tenants.ts";

export interface PathCallsOptions {
  readonly mcp: Mcp;
  readonly tenants: Tenants;
  readonly budget: BodyBudget;
  readonly log: Log;
  /** Where agents reach this gateway. */
  readonly publicUrl: string | undefined;
}

const noBody = Buffer.alloc(0);

/**
 * Methods with a path of their own (seed 001 §1), each call standing for itself: the same way as `/mcp`, for who would
 * rather send and read plain JSON. JSON-RPC is answered with JSON-RPC.
 */
export class PathCalls {
  readonly #options: PathCallsOptions;

  constructor(options: PathCallsOptions) {
    this.#options = options;
  }

  /** @throws RequestFault where JSON-RPC was sent; other faults are answered. */
  async carry(received: HttpRequest, method: PathMethod): Promise<void> {
    const { budget } = this.#options;
    let form: Form | undefined;
    let body: Buffer = noBody;
    try {
      body = await this.#bodyOf(received);
      form = await readForm(body);
      const { headers } = received.request;
      const call = await readPathCall({ method, headers, agent: received.principal.agent }, form);
      if (form.isRpc) await this.#relay(received, method, call);
      else this.#answer(received.response, plain(await this.#gather(received, method, { call }), method));
    } catch (error) {
      if (form?.isRpc === true) throw error instanceof RequestFault ? error : new RequestFault(error, form.rpcId, "");
      this.#fail(received, error);
    } finally {
      budget.give(body.length);
    }
  }

  /** The registration document (seed 001 §6): what the caller may use of this tenant, or of one of its servers. */
  async register(received: HttpRequest): Promise<void> {
    const { response, request, principal, server } = received;
    try {
      const section = this.#sectionOf(received);
      const method = "tools/list";
      const { headers } = request;
      const call = await readPathCall({ method, headers, agent: principal.agent }, await readForm(noBody));
      const outcome = await this.#gather(received, method, { call, wholeList: true });
      if (outcome.result === undefined) return this.#answer(response, plain(outcome, method));
      const about = registrationOf(section, { tenant: principal.tenant, server, url: this.#options.publicUrl });
      const start = JSON.stringify({ mcpServer: about }).slice(0, -2);
      const tools = await registeredTools(outcome.result);
      this.#answer(response, {
        status: 200,
        body: Buffer.concat([Buffer.from(`${start},"tools":`), tools, Buffer.from("}}")]),
      });
    } catch (error) {
      this.#fail(received, error);
    }
  }

  /** JSON-RPC goes to the client as it comes, but for what no method of this revision is called. */
  async #relay(received: HttpRequest, method: PathMethod, call: PathCall): Promise<void> {
    if (method !== "initialize") {
      await this.#options.mcp.carry(this.#arrived(received, method, { call }), call.body);
      return;
    }
    const { status, result, error } = await this.#gather(received, method, { call });
    const [name, value] = result === undefined ? ["error", error ?? noBody] : ["result", initializeResult(result)];
    const start = `{"jsonrpc":"2.0","id":${call.operation.rpcId},"${name}":`;
    this.#answer(received.response, { status, body: Buffer.concat([Buffer.from(start), value, Buffer.from("}")]) });
  }

  #gather(received: HttpRequest, method: PathMethod, asked: Asked): Promise<Outcome> {
    const { mcp, budget } = this.#options;
    const arrived = this.#arrived(received, method, asked);
    const { response } = received;
    return gather({
      response,
      budget,
      carry: (answer) => mcp.carry({ ...arrived, response: answer }, asked.call.body),
    });
  }

  #arrived(received: HttpRequest, method: PathMethod, { call, wholeList = false }: Asked) {
    const { request } = received;
    const { headers, operation } = call;
    const byPath = { http: request.method ?? "", method, wholeList };
    return { ...received, request: { method: "POST", url: request.url, headers }, operation, byPath };
  }

  /** What was sent; of a request without a body, what its query says. */
  async #bodyOf(received: HttpRequest): Promise<Buffer> {
    const { request } = received;
    const section = this.#sectionOf(received);
    if (request.method === "POST") {
      requireJson(request);
      return await readBody(request, { limit: section.maxPayloadBytes, budget: this.#options.budget });
    }
    const query = (request.url ?? "").split("?").slice(1).join("?");
    const cursor = new URLSearchParams(query).get("cursor");
    if (cursor === null) return noBody;
    const body = Buffer.from(JSON.stringify({ cursor }));
    this.#options.budget.take(body.length);
    return body;
  }

  #sectionOf({ principal }: HttpRequest): IngressSection {
    const section = this.#options.tenants.find(principal.tenant);
    if (section === undefined) throw new Fault("not_found", "this tenant has no such server");
    return section;
  }

  #answer(response: ServerResponse, { status, body }: { status: number; body: string | Buffer }): void {
    if (response.destroyed) return;
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(body);
  }

  #fail({ response }: HttpRequest, error: unknown): void {
    renderPlainFault(response, reportedFault(this.#options.log, error));
  }
}

interface Asked {
  readonly call: PathCall;
  readonly wholeList?: boolean;
}

function plain(outcome: Outcome, method: PathMethod): { status: number; body: string | Buffer } {
  const { result } = outcome;
  if (result === undefined) return plainError(outcome);
  return { status: 200, body: method === "initialize" ? initializeResult(result) : result };
}

function registrationOf(
  { registration, keyHeaders }: IngressSection,
  { tenant, server, url }: { tenant: string; server: string | undefined; url: string | undefined },
) {
  const name = server ?? registration.name ?? tenant;
  return {
    name,
    version: registration.version,
    description: registration.description ?? `MCP tools of ${name}`,
    endpoint: `${url?.replace(/\/+$/, "") ?? ""}/mcp${server === undefined ? "" : `/${server}`}`,
    authentication: { type: "apiKey", header: keyHeaders[0] },
  };
}
