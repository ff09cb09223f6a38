import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startAgent } from "../conformance-a2a/agents/agent.ts";
import { saying } from "./a2a-push.ts";
import { as, send } from "./http.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;

/** Takes away what a house sets. */
const unset = { PUSH_SIGNING_KEY: undefined } as unknown as Record<string, string>;

beforeAll(async () => {
  const agent = stack.use(await startAgent("1.0"));
  const endpoints = [{ name: "v10", card: agent.cardUrl }];
  const acme = { agents: ["a-1"], a2a: { endpoints }, accessRules: [{ agentPattern: "*", allowedTools: ["*"] }] };
  house = stack.use(await startTestHouse({ tenants: { acme }, envOf: { ingress: unset, egress: unset } }));
});
afterAll(() => stack.disposeAsync());

async function call(method: string, params: object) {
  const headers = { ...as(house.key("a-1")), "a2a-version": "1.0" };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const { text } = await send(`${house.house.url}/a2a/v10`, { headers, body });
  return JSON.parse(text) as { result?: { task?: { id: string } }; error?: { code: number } };
}

it("without its keys there are no push notifications: the card says so, and whoever asks for them is told", async () => {
  const card = await send(`${house.house.url}/a2a/v10/.well-known/agent-card.json`, {
    method: "GET",
    headers: as(house.key("a-1")),
  });
  expect(JSON.parse(card.text)).toMatchObject({ capabilities: { pushNotifications: false } });
  const webhook = { url: "https://hooks.example/" };
  expect((await call("SendMessage", saying("echo hi", webhook))).error?.code).toBe(-32_003);
  const { result, error } = await call("SendMessage", saying("echo hi"));
  expect(error).toBeUndefined();
  const taskId = result?.task?.id;
  for (const operation of ["Create", "Get", "Delete"])
    expect((await call(`${operation}TaskPushNotificationConfig`, { taskId, id: "x", ...webhook })).error?.code).toBe(
      -32_003,
    );
  expect((await call("ListTaskPushNotificationConfigs", { taskId })).error?.code).toBe(-32_003);
  expect((await send(`${house.house.url}/a2a/push/x`, { body: "{}" })).status).toBe(401);
});
