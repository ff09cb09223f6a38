import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { IngressSection } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import { neededBy } from "./auth/token-rule.ts";
import type { HttpRequest } from "./batches.ts";
import { Body, readBody, requireJson } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import type { Mcp } from "./mcp.ts";
import type { Operation } from "./operation.ts";
import { thisMoment } from "./outcome.ts";
import { gather, initializeResult, plainError, registeredTools, type Outcome } from "./path-answer.ts";
import { readForm, readPathCall, type PathMethod } from "./path-call.ts";
import { PlainFault, RequestFault } from "./request-fault.ts";
import { findTarget } from "./target.ts";
import type { Tenants } from "./tenants.ts";

export interface PathCallsOptions {
  readonly mcp: Mcp;
  readonly tenants: Tenants;
  readonly budget: BodyBudget;
  /** Where agents reach this gateway. */
  readonly publicUrl: string | undefined;
}

/** A call that was read: what goes on in its place. */
interface Read extends Disposable {
  readonly method: PathMethod;
  readonly isRpc: boolean;
  readonly headers: IncomingHttpHeaders;
  readonly operation: Operation;
  readonly body: Body;
  readonly wholeList?: boolean;
}

/**
 * Methods with a path of their own (seed 001 §1), each call standing for itself: the same way as `/mcp`, for who would
 * rather send and read plain JSON. JSON-RPC is answered with JSON-RPC.
 */
export class PathCalls {
  readonly #options: PathCallsOptions;

  constructor(options: PathCallsOptions) {
    this.#options = options;
  }

  /** @throws RequestFault; PlainFault where no JSON-RPC was sent */
  async carry(received: HttpRequest, method: PathMethod): Promise<void> {
    const arrived = { ...received, started: thisMoment() };
    let asked: Read | undefined;
    try {
      using read = await this.#read(arrived, method, await this.#bodyOf(arrived));
      asked = read;
      if (read.isRpc) await this.#relay(arrived, read);
      else answer(received.response, plain(await this.#gather(arrived, read), method));
    } catch (error) {
      if (error instanceof UnreadRpc) throw error;
      // What was read is carried out, and on record by now.
      const known = asked === undefined ? {} : { isOnRecord: true, rpcId: asked.operation.rpcId };
      throw asked?.isRpc === true ? new RequestFault(error, known) : new PlainFault(error, known);
    }
  }

  /** The registration document (seed 001 §6): what the caller may use of this tenant, or of one of its servers. @throws PlainFault */
  async register(received: HttpRequest): Promise<void> {
    const { response, principal, server } = received;
    const method = "tools/list";
    let isOnRecord = false;
    try {
      using read = await this.#read({ ...received, started: thisMoment() }, method, noBody());
      const section = this.#sectionOf(received);
      isOnRecord = true;
      const outcome = await this.#gather(received, { ...read, wholeList: true });
      if (outcome.result === undefined) return answer(response, plain(outcome, method));
      const about = registrationOf(section, { tenant: principal.tenant, server, url: this.#options.publicUrl });
      const start = JSON.stringify({ mcpServer: about }).slice(0, -2);
      const tools = await registeredTools(outcome.result);
      const body = Buffer.concat([Buffer.from(`${start},"tools":`), tools, Buffer.from("}}")]);
      answer(response, { status: 200, body });
    } catch (error) {
      throw new PlainFault(error, { isOnRecord });
    }
  }

  /** What was sent; of a request without a body, what its query says. */
  async #bodyOf(received: HttpRequest): Promise<Body> {
    const { request, principal, server } = received;
    const section = this.#sectionOf(received);
    if (request.method === "POST") {
      requireJson(request);
      const limit = findTarget(section, server).maxPayloadBytes;
      return await readBody(request, { limit, budget: this.#options.budget.of(principal) });
    }
    const cursor = new URL(request.url ?? "", "http://localhost").searchParams.get("cursor");
    return cursor === null ? noBody() : new Body(Buffer.from(JSON.stringify({ cursor })));
  }

  /** Lets go of what was sent; what goes on is held instead. */
  async #read({ request, principal }: HttpRequest, method: PathMethod, sent: Body): Promise<Read> {
    using body = sent;
    const form = await readForm(body.bytes);
    try {
      const isSent = request.method === "POST" && body.length > 0;
      const asked = { method, headers: request.headers, agent: principal.agent, isSent };
      const { message, headers, operation } = await readPathCall(asked, form);
      const hold = this.#options.budget.of(principal).open();
      hold.resize(message.length);
      const held = new Body(message, () => hold.release());
      return { method, isRpc: form.isRpc, headers, operation, body: held, [Symbol.dispose]: () => held.release() };
    } catch (error) {
      throw form.isRpc ? new UnreadRpc(error, { rpcId: form.rpcId }) : error;
    }
  }

  /** JSON-RPC goes to the client as it comes, but for what no method of this revision is called. */
  async #relay(received: HttpRequest, read: Read): Promise<void> {
    const { method, operation, body } = read;
    if (method !== "initialize") {
      await this.#options.mcp.carry({ ...received, ...arrival(received, read) }, body);
      return;
    }
    const { status, result, error } = await this.#gather(received, read);
    const [member, value] = result === undefined ? ["error", error ?? empty] : ["result", initializeResult(result)];
    const start = `{"jsonrpc":"2.0","id":${operation.rpcId},"${member}":`;
    answer(received.response, { status, body: Buffer.concat([Buffer.from(start), value, Buffer.from("}")]) });
  }

  #gather(received: HttpRequest, read: Read): Promise<Outcome> {
    const { mcp, budget } = this.#options;
    const { response, principal } = received;
    const carry = (into: Answer) => mcp.carry({ ...received, ...arrival(received, read), response: into }, read.body);
    return gather({ response, budget: budget.of(principal), carry });
  }

  #sectionOf({ principal }: HttpRequest): IngressSection {
    return this.#options.tenants.require(principal.tenant);
  }
}

/** Why a JSON-RPC request is none that this path carries. */
class UnreadRpc extends RequestFault {}

const empty = Buffer.alloc(0);
const noBody = () => new Body(empty);

/** How the call goes on: by POST, with the header fields of the request that was made of it. */
function arrival({ request }: HttpRequest, { method, headers, operation, wholeList = false }: Read) {
  return {
    request: { method: "POST", url: request.url, headers },
    operation,
    byPath: { http: request.method ?? "", method, wholeList },
  };
}

function answer(response: ServerResponse, { status, body }: { status: number; body: string | Buffer }): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function plain(outcome: Outcome, method: PathMethod): { status: number; body: string | Buffer } {
  const { result } = outcome;
  if (result === undefined) return plainError(outcome);
  return { status: 200, body: method === "initialize" ? initializeResult(result) : result };
}

function registrationOf(
  section: IngressSection,
  { tenant, server, url }: { tenant: string; server: string | undefined; url: string | undefined },
) {
  const { registration } = section;
  const name = server ?? registration.name ?? tenant;
  return {
    name,
    version: registration.version,
    description: registration.description ?? `MCP tools of ${name}`,
    endpoint: `${url?.replace(/\/+$/, "") ?? ""}/mcp${server === undefined ? "" : `/${server}`}`,
    authentication: howToAuthenticate(section),
  };
}

/** The first way that the tenant has; how it goes by OAuth stands in the metadata of the resource. */
function howToAuthenticate({ keyHeaders: [header], oauth2: [oauth2] }: IngressSection) {
  if (header !== undefined || oauth2 === undefined) return { type: "apiKey", header };
  const { type, issuer, tokenUrl } = oauth2;
  const scopes = neededBy(oauth2).mcp;
  return { type, ...(issuer && { issuer }), ...(tokenUrl && { tokenUrl }), ...(scopes.length > 0 && { scopes }) };
}
