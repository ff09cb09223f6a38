import { Fault } from "@sluice/contracts";
import type { BatchesOptions, BatchMessage, Carrier, HttpRequest } from "./batches.ts";
import type { Body } from "./body.ts";
import type { MessageAnswer } from "./message-answer.ts";
import { MessageStream } from "./message-stream.ts";
import { faultMessage, isHidden } from "./render.ts";
import { reportedFault } from "./request-fault.ts";
import { errorMessage, readMessage, sameId } from "./rpc-message.ts";

/** More than this is not gathered: the answers then go out as events, each when it comes. */
const gatheredBytes = 4 * 1024 * 1024;

export interface BatchOptions extends BatchesOptions {
  readonly carrier: Carrier;
  readonly arrived: HttpRequest;
  readonly messages: readonly BatchMessage[];
}

type Message = Extract<BatchMessage, { body: Body }>;

/** A message's answer while it is awaited. */
interface Pending {
  readonly index: number;
  readonly rpcId: string | undefined;
  readonly inSession: boolean;
  answered: boolean;
}

/**
 * One batch under way. Answers are gathered into one JSON array, in the order of the requests; as soon as a message
 * comes that is no answer, all go out as an event stream.
 */
export class Batch {
  readonly #options: BatchOptions;
  readonly #stream: MessageStream;
  readonly #answers: (Buffer | undefined)[] = [];
  #gathered = 0;
  /** Why messages failed that have no answer of their own. */
  #failure: Fault | undefined;
  #requests = 0;
  #goneRequests = 0;

  constructor(options: BatchOptions) {
    this.#options = options;
    const { arrived, budget, keepAliveMs } = options;
    this.#stream = new MessageStream({ response: arrived.response, budget: budget.of(arrived.principal), keepAliveMs });
  }

  /** @throws Fault where nothing was answered: the session is gone, or a batch without requests was not accepted. */
  async run(): Promise<void> {
    const underWay: Promise<void>[] = [];
    const { carrier, arrived, messages } = this.#options;
    for (const [index, message] of messages.entries()) {
      if (message.fault === undefined) underWay.push(this.#carry(message, index));
      else {
        const told = carrier.refuse({ ...arrived, bytes: message.bytes }, message.fault);
        this.#settle(index, Buffer.from(faultMessage(told)));
      }
    }
    await Promise.all(underWay);
    this.#finish();
  }

  async #carry({ body, operation }: Message, index: number): Promise<void> {
    const { carrier, arrived, log } = this.#options;
    const inSession = arrived.request.headers["mcp-session-id"] !== undefined;
    const pending: Pending = { index, rpcId: operation.rpcId, inSession, answered: false };
    if (operation.rpcId !== undefined) this.#requests++;
    const answer = this.#stream.answer((message) => this.#take(pending, message, answer));
    let fault: Fault | undefined;
    try {
      await carrier.carry({ ...arrived, response: answer, operation }, body);
      fault = faultOf(answer, pending);
    } catch (error) {
      fault = reportedFault(log, error);
    } finally {
      this.#stream.release(answer);
    }
    if (fault === undefined) return;
    if (operation.rpcId === undefined) {
      if (!isHidden(fault)) this.#failure ??= fault;
      return;
    }
    if (fault.kind === "session_not_found") this.#goneRequests++;
    if (!pending.answered) this.#settle(index, Buffer.from(faultMessage(fault, operation.rpcId)));
  }

  #take(pending: Pending, bytes: Buffer, answer: MessageAnswer): void {
    const message = readMessage(bytes);
    if (message === undefined || pending.rpcId === undefined) return;
    if (message.answers === sameId(pending.rpcId)) {
      pending.answered = true;
      this.#settle(pending.index, bytes);
    } else if (message.error !== undefined && isRefusal(answer, pending)) {
      pending.answered = true;
      this.#settle(pending.index, errorMessage(pending.rpcId, message.error));
    } else if (message.answers === undefined) {
      if (!this.#stream.isOpen) this.#openStream();
      this.#stream.send(bytes);
    }
  }

  #settle(index: number, answer: Buffer): void {
    if (this.#stream.isOpen) {
      this.#stream.send(answer);
      return;
    }
    this.#answers[index] = answer;
    this.#gathered += answer.length;
    if (this.#gathered > gatheredBytes) this.#openStream();
  }

  #openStream(): void {
    if (this.#stream.over) return;
    this.#stream.open();
    for (const answer of this.#answers) if (answer !== undefined) this.#stream.send(answer);
    this.#answers.length = 0;
  }

  #finish(): void {
    const { response } = this.#options.arrived;
    if (this.#stream.over) return;
    if (this.#stream.isOpen) {
      this.#stream.end();
      return;
    }
    const answers = this.#answers.filter((answer) => answer !== undefined);
    if (this.#goneRequests > 0 && this.#goneRequests === this.#requests) throw sessionGone();
    if (answers.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      response.writeHead(202).end();
      return;
    }
    const body = Buffer.from(`[${answers.map((answer) => answer.toString("utf8")).join(",")}]`);
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(body);
  }
}

/** What is to be said of a message whose answer does not say it. */
function faultOf(answer: MessageAnswer, { rpcId, inSession, answered }: Pending): Fault | undefined {
  if (answered) return undefined;
  if (answer.fault !== undefined) return answer.fault;
  if (answer.statusCode === 404 && inSession) return sessionGone();
  if (rpcId === undefined && answer.statusCode < 400) return undefined;
  return new Fault("upstream_failed", `the upstream gave no JSON-RPC answer (HTTP ${answer.statusCode})`);
}

/** An error of the upstream's that names no request; in a session 404 says that the session is over. */
function isRefusal({ statusCode }: MessageAnswer, { inSession }: Pending): boolean {
  return statusCode >= 400 && !(statusCode === 404 && inSession);
}

function sessionGone(): Fault {
  return new Fault("session_not_found", "the session is unknown or has ended: initialize again");
}
