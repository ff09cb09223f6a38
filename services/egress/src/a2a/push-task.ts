import { randomBytes } from "node:crypto";
import { answerFor, requestFor, type Sides } from "@sluice/a2a";
import { Fault, type Dialect, type FoundPush } from "@sluice/contracts";
import { forward } from "../forward.ts";
import { pathOf } from "./agent-interface.ts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { Agents } from "./agents.ts";
import { fieldsOf } from "./agent-call.ts";
import { forTenant } from "./tenant-param.ts";

const plain: Dialect = { version: "1.0", binding: "JSONRPC" };
const timeoutMs = 15_000;
const late = new Fault("upstream_timeout", "the agent does not say what its task is");

interface ReaderOptions {
  readonly agents: Pick<Agents, "find">;
  readonly directory: AgentDirectory;
  readonly maxBytes: number;
}

/** Reads tasks from their agents, for clients that are told them whole. */
export class TaskReader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** The task as it is now, as an event of 1.0. @throws Fault where the agent does not tell */
  async read({ tenant, server, agent: id }: FoundPush, task: string, trace = newTrace()): Promise<Buffer> {
    const { agents, directory, maxBytes } = this.#options;
    const agent = agents.find(tenant, server);
    if (agent === undefined) throw new Fault("upstream_failed", `there is no agent '${server}'`);
    const at = await directory.interfaceFor(agent, plain, trace);
    const sides: Sides = { client: plain, upstream: at.dialect, operation: "GetTask", rpcId: "1" };
    const asked = { jsonrpc: "2.0", id: 1, method: "GetTask", params: { id: task } };
    const canonical = { http: "POST", rest: "", body: Buffer.from(JSON.stringify(asked)) } as const;
    const request = forTenant(at, requestFor(sides, canonical));
    const hasBody = request.body.length > 0;
    const exchange = forward({
      head: { http: request.http, agent: { id }, headers: fieldsOf(at, { streams: false, hasBody }) },
      upstream: agent,
      connections: agent.calls,
      body: hasBody ? request.body : null,
      traceparent: trace,
      path: pathOf(at, request.rest),
    });
    const timer = setTimeout(() => exchange.abort(late), timeoutMs);
    try {
      const { status, headers } = await exchange.head;
      const { bytes, complete } = await exchange.collect(maxBytes);
      if (!complete) throw new Fault("upstream_failed", "the task is too large to be told");
      const answer = answerFor(sides, { status, contentType: String(headers["content-type"] ?? ""), body: bytes });
      const { result } = JSON.parse(answer.body.toString("utf8")) as { result?: { readonly id?: unknown } };
      if (result === undefined) throw new Fault("upstream_failed", "the agent does not know its task");
      if (result.id !== task) throw new Fault("upstream_failed", "the agent tells of another task");
      return Buffer.from(JSON.stringify({ task: result }));
    } finally {
      clearTimeout(timer);
      exchange.abort(late);
    }
  }
}

const newTrace = () => `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
