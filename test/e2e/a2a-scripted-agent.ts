import type { ServerResponse } from "node:http";
import { answerJson, FakeUpstream, until, type ReceivedRequest } from "@sluice/testing";

const sse = { "content-type": "text/event-stream" };

/** A stream that the agent has open. */
export interface OpenStream {
  readonly method: string;
  readonly id: unknown;
  readonly response: ServerResponse;
}

/** An agent of A2A 1.0 by JSON-RPC with one task, which does what the test says event by event. */
export class ScriptedAgent implements AsyncDisposable {
  readonly upstream: FakeUpstream;
  readonly streams: OpenStream[] = [];
  /** How often each method was called. */
  readonly calls = new Map<string, number>();
  state = "TASK_STATE_WORKING";
  readonly texts: string[] = [];
  /** Refuses to be subscribed to. */
  isDeaf = false;
  readonly #task: string;

  private constructor(upstream: FakeUpstream, task: string) {
    this.upstream = upstream;
    this.#task = task;
  }

  static async start(task: string): Promise<ScriptedAgent> {
    const upstream = await FakeUpstream.start();
    const agent = new ScriptedAgent(upstream, task);
    upstream.handler = (request, response) => agent.#serve(request, response);
    return agent;
  }

  get task() {
    const artifacts = [{ artifactId: "a", parts: this.texts.map((text) => ({ text })) }];
    return { id: this.#task, contextId: `context of ${this.#task}`, status: { state: this.state }, artifacts };
  }

  /** The streams that are open, once there are that many. */
  open(count: number): Promise<OpenStream[]> {
    return until(`${count} streams`, () => {
      const open = this.streams.filter(({ response }) => !response.destroyed && !response.writableEnded);
      return open.length >= count ? open : undefined;
    });
  }

  /** Adds to the artifact, and tells all that listen. */
  say(text: string): void {
    this.texts.push(text);
    const artifact = { artifactId: "a", parts: [{ text }] };
    this.#tell({ artifactUpdate: { taskId: this.#task, contextId: this.task.contextId, artifact, append: true } });
  }

  /** Changes the state; a last one ends all streams. */
  become(state: string, isLast = true): void {
    this.state = state;
    this.#tell({ statusUpdate: { taskId: this.#task, contextId: this.task.contextId, status: { state } } });
    if (isLast) for (const { response } of this.streams) response.end();
  }

  /** All streams break off. */
  breakOff(): void {
    for (const { response } of this.streams) response.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.breakOff();
    return this.upstream[Symbol.asyncDispose]();
  }

  #tell(result: object): void {
    for (const stream of this.streams)
      if (!stream.response.destroyed && !stream.response.writableEnded) write(stream, result);
  }

  #serve({ message }: ReceivedRequest, response: ServerResponse): void {
    const { id, method = "" } = message ?? {};
    this.calls.set(method, (this.calls.get(method) ?? 0) + 1);
    if (method === "GetTask") return answerJson(response, { jsonrpc: "2.0", id, result: this.task });
    if (method === "SubscribeToTask" && this.isDeaf) {
      const error = { code: -32004, message: "this operation is not supported" };
      return answerJson(response, { jsonrpc: "2.0", id, error });
    }
    const stream = { method, id, response };
    response.writeHead(200, sse);
    write(stream, { task: this.task });
    this.streams.push(stream);
  }
}

function write({ response, id }: OpenStream, result: object): void {
  response.write(`data: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`);
}
