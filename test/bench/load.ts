/** The load generator: a closed loop over raw keep-alive sockets, told by the parent what to run. */
import { connect, type Socket } from "node:net";
import { a2aStreamEvents, a2aVersion } from "./a2a-messages.ts";
import { endWithParent } from "./child.ts";
import { agentDigits, agentKey } from "./rule-tenants.ts";
import { ResponseReader, type Response } from "./response-reader.ts";
import {
  answerBytes,
  federatedNames,
  firstId,
  idDigits,
  idOffset,
  isFederated,
  listedName,
  listedTools,
  protocolVersion,
  requestBody,
  streamEvents,
  workloads,
  type Workload,
  type WorkloadName,
} from "./workloads.ts";

export interface Target {
  readonly port: number;
  readonly path: string;
  readonly key: string;
}

export type LoadCommand =
  | { readonly do: "open"; readonly target: Target; readonly workload: WorkloadName; readonly connections: number }
  | { readonly do: "run"; readonly durationMs: number }
  | { readonly do: "close" };

export interface LoadResult {
  readonly requests: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the load generator itself. */
  readonly cpuUs: number;
  /** Why the run is void. */
  readonly failure?: string;
}

const answerDeadlineMs = 20_000;

interface Run {
  readonly untilMs: number;
  readonly latenciesMs: number[];
  idle: number;
  failure?: string;
  settle: () => void;
}

let run: Run | undefined;
let nextId = firstId;
let nextAgent = 0;
let connections: Connection[] = [];
/** What went wrong between two runs. */
let broken: string | undefined;

function fail(reason: string): void {
  if (run) {
    run.failure ??= reason;
    run.settle();
  } else broken ??= reason;
}

class Connection {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #idAt: number;
  readonly #agents: Agents | undefined;
  readonly #verify: Verify;
  readonly #reader = new ResponseReader();
  #sentAtMs = 0;
  #id = "";

  constructor(socket: Socket, { request, agents }: Prepared, verify: Verify) {
    this.#socket = socket;
    this.#request = Buffer.from(request);
    this.#agents = agents;
    this.#idAt = request.indexOf("\r\n\r\n") + 4 + idOffset;
    this.#verify = verify;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => fail(`connection: ${error.message}`));
    socket.on("close", () => fail("a connection was closed by the other side"));
  }

  send(): void {
    this.#id = String(nextId++);
    this.#request.write(this.#id, this.#idAt, idDigits, "latin1");
    if (this.#agents !== undefined) {
      const number = String(nextAgent++ % this.#agents.count).padStart(agentDigits, "0");
      this.#request.write(number, this.#agents.at, agentDigits, "latin1");
    }
    this.#sentAtMs = performance.now();
    this.#socket.write(this.#request);
  }

  end(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      const response = this.#reader.push(chunk);
      if (response) this.#answered(response);
    } catch (error) {
      fail((error as Error).message);
    }
  }

  #answered(response: Response): void {
    const nowMs = performance.now();
    if (!run) return;
    run.latenciesMs.push(nowMs - this.#sentAtMs);
    const wrong = response.status === 200 ? this.#verify(response, this.#id) : "not 200";
    if (wrong) fail(`${wrong}: ${response.status} ${Buffer.concat(response.pieces).toString("utf8", 0, 300)}`);
    else if (nowMs < run.untilMs) this.send();
    else if (++run.idle === connections.length) run.settle();
  }
}

type Verify = (response: Response, id: string) => string | undefined;

function verifierOf(workload: Workload): Verify {
  if (workload.name === "a2a-stream-20") return verifyStream(a2aStreamEvents);
  if (workload.tool === "stream-20") return verifyStream(streamEvents);
  if (workload.method === "tools/list") return isFederated(workload) ? mergedVerifier() : verifyList;
  const expected = answerBytes(workload);
  return (response, id) => {
    if (response.bytes !== expected) return `${response.bytes} bytes instead of ${expected}`;
    return response.pieces[0]?.toString("latin1", 0, 64).includes(`"id":${id},`)
      ? undefined
      : "another request's answer";
  };
}

function verifyStream(expected: number): Verify {
  return (response, id) => {
    const text = Buffer.concat(response.pieces).toString("latin1");
    const events = countOf("data: {", text);
    if (events !== expected) return `${events} events instead of ${expected}`;
    return text.includes(`"id":${id},`, text.lastIndexOf("data: {")) ? undefined : "a stream without its result";
  };
}

function verifyList(response: Response, id: string): string | undefined {
  const text = Buffer.concat(response.pieces).toString("latin1");
  const tools = countOf(listedName, text);
  if (tools !== listedTools) return `${tools} tools instead of ${listedTools}`;
  return text.includes(`"id":${id}`) ? undefined : "another request's answer";
}

/** How many tools fill a page is Sluice's affair, but it is always the same, more follow, and no server is missing. */
function mergedVerifier(): Verify {
  let expected: number | undefined;
  return (response, id) => {
    const text = Buffer.concat(response.pieces).toString("latin1");
    const tools = countOf(listedName, text);
    expected ??= tools;
    if (tools === 0 || tools !== expected) return `${tools} tools instead of ${expected}`;
    if (!text.includes('"nextCursor":"')) return "a page after which nothing follows";
    if (countOf(':"ok"', text) !== federatedNames.length) return "not all servers answered";
    return text.includes(`"id":${id}`) ? undefined : "another request's answer";
  };
}

function countOf(part: string, text: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count += 1;
  return count;
}

/** Whose turn it is stands at this place of the request. */
interface Agents {
  readonly count: number;
  readonly at: number;
}

interface Prepared {
  readonly request: Buffer;
  readonly agents: Agents | undefined;
}

function prepare(target: Target, workload: Workload): Prepared {
  if (workload.agents === undefined) return { request: requestBytes(target, workload), agents: undefined };
  const key = agentKey(target.key, 0);
  const request = requestBytes({ ...target, key }, workload);
  return { request, agents: { count: workload.agents, at: request.indexOf(key) + key.length - agentDigits } };
}

function requestBytes(target: Target, workload: Workload): Buffer {
  const body = requestBody(workload);
  const lines = [
    `POST ${target.path} HTTP/1.1`,
    `host: 127.0.0.1:${target.port}`,
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    `x-agent-api-key: ${target.key}`,
    ...(workload.protocol === "a2a" ? [`a2a-version: ${a2aVersion}`] : mcpHeaders(workload)),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

function mcpHeaders({ method, tool }: Workload): string[] {
  const named = tool ? [`mcp-name: ${tool}`] : [];
  return [`mcp-protocol-version: ${protocolVersion}`, `mcp-method: ${method}`, ...named];
}

async function open(target: Target, workload: Workload, count: number): Promise<void> {
  const prepared = prepare(target, workload);
  const verify = verifierOf(workload);
  broken = undefined;
  connections = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ port: target.port, host: "127.0.0.1", noDelay: true });
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.once("connect", resolve).once("error", reject);
      await promise;
      return new Connection(socket, prepared, verify);
    }),
  );
}

async function runFor(durationMs: number): Promise<LoadResult> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const current: Run = { untilMs: startedMs + durationMs, latenciesMs: [], idle: 0, settle: resolve };
  run = current;
  if (broken) fail(broken);
  const timer = setTimeout(() => fail(`unanswered after ${answerDeadlineMs} ms`), durationMs + answerDeadlineMs);
  for (const connection of connections) connection.send();
  await promise;
  clearTimeout(timer);
  run = undefined;
  const elapsedMs = performance.now() - startedMs;
  const used = process.cpuUsage(cpu);
  const sorted = Float64Array.from(current.latenciesMs).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const figures = {
    requests: sorted.length,
    elapsedMs,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuUs: used.user + used.system,
  };
  return current.failure ? { ...figures, failure: current.failure } : figures;
}

async function obey(command: LoadCommand): Promise<LoadResult | { done: true }> {
  if (command.do === "run") return runFor(command.durationMs);
  if (command.do === "open") await open(command.target, workloads[command.workload], command.connections);
  else for (const connection of connections.splice(0)) connection.end();
  return { done: true };
}

endWithParent();
process.on("message", (command: LoadCommand) => {
  obey(command).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ failure: error.message }),
  );
});
process.send?.({ ready: true });
