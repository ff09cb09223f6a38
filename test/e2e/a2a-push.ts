import { FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { as, send } from "./http.ts";

/** Retries at once, so that no test waits for one. */
export const quickRetries = { PUSH_RETRY_FIRST_MS: "20", PUSH_RETRY_LONGEST_MS: "200", PUSH_ACK_WAIT_MS: "1500" };

type Json = Record<string, unknown>;

/** What a JSON-RPC call was answered with. */
interface Told {
  readonly status: number;
  readonly result?: Json & { readonly task?: { readonly id: string; readonly status: { readonly state: string } } };
  readonly error?: { readonly code: number; readonly message: string };
  readonly text: string;
}

/** A house with one agent of 1.0 and one of 0.3, and two callers. */
export interface PushHouse extends AsyncDisposable {
  readonly house: TestHouse;
  readonly agents: { readonly v10: ReferenceAgent; readonly v03: ReferenceAgent };
  /** Calls the agent of 1.0 in its own words. */
  call(method: string, params: Json, agent?: string): Promise<Told>;
  /** Calls the agent of 0.3 in its own words. */
  callV03(method: string, params: Json, agent?: string): Promise<Told>;
}

export const tenantOf = (agents: PushHouse["agents"]) => ({
  agents: ["a-1", "a-2"],
  mcp: { endpoints: [] },
  a2a: {
    endpoints: [
      { name: "v10", url: agents.v10.jsonRpcUrl, version: "1.0", binding: "JSONRPC" },
      { name: "v03", url: agents.v03.jsonRpcUrl, version: "0.3", binding: "JSONRPC" },
    ],
  },
  accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
});

export async function startPushHouse(env: Record<string, string> = {}): Promise<PushHouse> {
  const stack = new AsyncDisposableStack();
  const agents = { v10: stack.use(await startAgent("1.0")), v03: stack.use(await startAgent("0.3")) };
  const house = stack.use(
    await startTestHouse({
      tenants: { acme: tenantOf(agents) },
      env: { LOG_LEVEL: "trace" },
      envOf: { egress: { ...quickRetries, ...env } },
    }),
  );
  const callAs = async (
    path: string,
    version: Json,
    [method, params, agent = "a-1"]: readonly [string, Json, (string | undefined)?],
  ) => {
    const headers = { ...as(house.key(agent)), ...version } as Record<string, string>;
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const { status, text } = await send(`${house.house.url}/a2a/${path}`, { headers, body });
    return { status, text, ...(text === "" ? {} : (JSON.parse(text) as Omit<Told, "status" | "text">)) };
  };
  return {
    house,
    agents,
    call: (...asked) => callAs("v10", { "a2a-version": "1.0" }, asked),
    callV03: (...asked) => callAs("v03", {}, asked),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A message of 1.0 that says where its sender wants to be told. */
export const saying = (text: string, push?: Json, configuration: Json = {}) => ({
  message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] },
  configuration: { ...configuration, ...(push !== undefined && { taskPushNotificationConfig: push }) },
});

/** A webhook that takes what it gets, unless it is told otherwise. */
export async function startWebhook(): Promise<FakeUpstream> {
  const webhook = await FakeUpstream.start((_request, response) => void response.writeHead(204).end());
  webhook.speaksModern = false;
  return webhook;
}

/** Where a webhook is, with something that only its owner knows. */
export const urlOf = (webhook: FakeUpstream, secret = "s3") => `http://127.0.0.1:${webhook.port}/hook?secret=${secret}`;

/** Every byte that reached an agent, for searches. */
export const heardBy = ({ ledger }: ReferenceAgent) =>
  ledger.exchanges
    .map(({ path, headers, body }) => `${path}\n${JSON.stringify(headers)}\n${body.toString()}`)
    .join("\n");

/** What reached a webhook, once there is as much as said. */
export async function toldTo(webhook: FakeUpstream, count: number): Promise<readonly ReceivedRequest[]> {
  await until(`${count} notifications`, () => webhook.requests.length >= count);
  return webhook.requests;
}

/** The states that a webhook was told, in the words of 1.0. */
export const statesOf = (requests: readonly ReceivedRequest[]) =>
  requests.flatMap(({ body }) => {
    const { task, statusUpdate } = JSON.parse(body.toString("utf8")) as {
      task?: { status: { state: string } };
      statusUpdate?: { status: { state: string } };
    };
    const state = (task ?? statusUpdate)?.status.state;
    return state === undefined ? [] : [state];
  });
