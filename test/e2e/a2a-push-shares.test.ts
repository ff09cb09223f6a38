import { until, type ReceivedRequest } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { heardBy, saying, startPushHouse, startWebhook, toldTo, urlOf, type PushHouse } from "./a2a-push.ts";
import { send } from "./http.ts";

const perTask = 100;
let push: PushHouse;

beforeAll(async () => {
  push = await startPushHouse();
});
afterAll(() => push[Symbol.asyncDispose]());

interface Told {
  readonly statusUpdate: { readonly taskId: string; readonly metadata: { readonly number: number } };
}

/** Begins a task that goes on; gives back its id and the path that its agent was told. */
async function begun(url: string): Promise<{ readonly task: string; readonly path: string }> {
  const { result, text } = await push.call("SendMessage", saying("long", { url }, { returnImmediately: true }));
  const path = heardBy(push.agents.v10)
    .match(/\/a2a\/push\/[\w.-]+/g)
    ?.at(-1);
  if (result?.task === undefined || path === undefined) throw new Error(`no task: ${text}`);
  return { task: result.task.id, path };
}

const tell = async ({ task, path }: { readonly task: string; readonly path: string }, number: number) => {
  const statusUpdate = { taskId: task, contextId: "c", status: { state: "TASK_STATE_WORKING" }, metadata: { number } };
  const headers = { "content-type": "application/json" };
  const url = `${push.house.house.url}${path}`;
  expect((await send(url, { headers, body: JSON.stringify({ statusUpdate }) })).status).toBe(200);
};
const numbersOf = (requests: readonly ReceivedRequest[], task: string) =>
  requests
    .map(({ body }) => (JSON.parse(body.toString()) as Told).statusUpdate)
    .flatMap(({ taskId, metadata }) => (taskId === task ? [metadata.number] : []));

it("A30: a slow webhook makes no other wait, however much is for it, and gets all of it in order", async () => {
  await using slow = await startWebhook();
  await using quick = await startWebhook();
  const tasks: Awaited<ReturnType<typeof begun>>[] = [];
  for (let count = 0; count < 8; count++) tasks.push(await begun(urlOf(slow)));
  const other = await begun(urlOf(quick));
  await toldTo(slow, 2 * tasks.length);
  await toldTo(quick, 2);
  slow.requests.length = 0;
  slow.handler = (_request, response) => void setTimeout(() => response.writeHead(204).end(), 200);
  for (let number = 0; number < perTask; number++) await Promise.all(tasks.map((task) => tell(task, number)));
  const before = performance.now();
  await tell(other, 0);
  await toldTo(quick, 3);
  expect(performance.now() - before).toBeLessThan(1_000);
  await until("all that is for it", () => slow.requests.length >= tasks.length * perTask, 90_000);
  const inOrder = Array.from({ length: perTask }, (_, number) => number);
  for (const { task } of tasks) expect(numbersOf(slow.requests, task)).toEqual(inOrder);
}, 120_000);
