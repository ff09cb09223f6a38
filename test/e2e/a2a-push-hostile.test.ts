import { createHmac, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pushHandle, streams, subjects } from "@sluice/contracts";
import { until, type FakeUpstream, type UpstreamHandler } from "@sluice/testing";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  heardBy,
  saying,
  startPushHouse,
  startWebhook,
  statesOf,
  tenantOf,
  toldTo,
  urlOf,
  type PushHouse,
} from "./a2a-push.ts";
import { connectAs } from "./bus-spy.ts";
import { as, send } from "./http.ts";

const canary = "cnry-webhook-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga";
let push: PushHouse;
let webhook: FakeUpstream;

beforeAll(async () => {
  push = await startPushHouse({ PUSH_TIMEOUT_MS: "400", PUSH_MAX_TRIES: "6", PUSH_MAX_REFUSALS: "2" });
});
afterAll(() => push[Symbol.asyncDispose]());
beforeEach(async () => {
  webhook = await startWebhook();
});
afterEach(() => webhook[Symbol.asyncDispose]());

/** Begins a task that goes on, told to the webhook; gives back its id and the path that the agent was told. */
async function begun(url = urlOf(webhook)): Promise<{ task: string; path: string }> {
  const { result, text } = await push.call("SendMessage", saying("long", { url }, { returnImmediately: true }));
  const task = result?.task?.id;
  if (task === undefined) throw new Error(`no task: ${text}`);
  const paths = heardBy(push.agents.v10).match(/\/a2a\/push\/[\w.-]+/g);
  return { task, path: paths?.at(-1) ?? "" };
}

async function ownKey(): Promise<Buffer> {
  const { pushSigningKey } = JSON.parse(await readFile(join(push.house.dataDir, "state.json"), "utf8")) as Record<
    string,
    string
  >;
  return Buffer.from(pushSigningKey ?? "", "base64url");
}

const tell = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  send(`${push.house.house.url}${path}`, {
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const update = (taskId: string, state = "TASK_STATE_WORKING") => ({
  statusUpdate: { taskId, contextId: "c", status: { state } },
});
const answering = (...statuses: number[]): UpstreamHandler => {
  let at = 0;
  return (_request, response) => void response.writeHead(statuses[Math.min(at++, statuses.length - 1)] ?? 200).end();
};

async function deadLetters(): Promise<{ reason: string; host?: string; task?: string }[]> {
  const nats = await connectAs(push.house, "control");
  try {
    const manager = await jetstreamManager(nats);
    const { state } = await manager.streams.info(streams.pushDead.name);
    const letters = [];
    for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq++)
      letters.push((await manager.streams.getMessage(streams.pushDead.name, { seq }))?.json() as { reason: string });
    return letters;
  } finally {
    await nats.close();
  }
}

const deadNow = async (task: string) => (await deadLetters()).find((letter) => letter.task === task);
const deadOf = (task: string) => until(`a dead letter of ${task}`, () => deadNow(task));

async function metric(text: string): Promise<number> {
  const all = await Promise.all(
    push.house.house.of("egress").map(async ({ health }) => (await fetch(`${health}/metrics`)).text()),
  );
  const line = all
    .join("\n")
    .split("\n")
    .find((one) => one.startsWith(text));
  return Number(line?.split(" ").at(-1) ?? 0);
}

describe("who comes to the gateway's own address", () => {
  it("A1: with a handle that is forged, over or another's is refused, and not one message is on the bus", async () => {
    const nats = await connectAs(push.house, "control");
    const { path } = await begun();
    await toldTo(webhook, 2);
    const before = (await (await jetstreamManager(nats)).streams.info(streams.push.name)).state.last_seq;
    const [tenant = "", id = "", expiry = ""] = path.slice("/a2a/push/".length).split(".");
    const mac = createHmac("sha256", randomBytes(32)).update(`${tenant}.${id}.${expiry}`).digest("base64url");
    const foreign = pushHandle([randomBytes(32)], { tenant: "acme", id, expiresAt: Date.now() + 60_000 });
    const over = pushHandle([await ownKey()], { tenant: "acme", id, expiresAt: Date.now() - 1_000 });
    const changed = path.replace(/.$/, (last) => (last === "A" ? "E" : "A"));
    const forged = [
      `${tenant}.${id}.${expiry}.${mac}`,
      foreign,
      over,
      `${tenant}.${id}.zzzzzzz.${mac}`,
      "x",
      "a.b.c.d",
      `${id}%00`,
    ];
    for (const one of [...forged.map((handle) => `/a2a/push/${handle}`), changed]) {
      const { status, text } = await tell(one, update("t"));
      expect([status, text.includes("unauthorized")], one).toEqual([401, true]);
    }
    expect((await tell(path, update("t"), { "x-a2a-notification-token": "another's" })).status).toBe(401);
    const after = (await (await jetstreamManager(nats)).streams.info(streams.push.name)).state.last_seq;
    expect(after).toBe(before);
    await nats.close();
  });

  it("A13, A14: says it in JSON of a size that is known, or is refused; other methods are none", async () => {
    const { path, task } = await begun();
    expect((await tell(path, "{", {})).status).toBe(400);
    expect((await tell(path, "[]")).status).toBe(400);
    expect((await tell(path, '{"task":{"id":"1"},"task":{"id":"2"}}')).status).toBe(400);
    expect((await tell(path, update(task), { "content-type": "text/plain" })).status).toBe(415);
    expect((await tell(path, update(task), { "content-encoding": "gzip" })).status).toBe(415);
    expect((await tell(path, { ...update(task), x: "x".repeat(300_000) })).status).toBe(413);
    expect((await send(`${push.house.house.url}${path}`, { method: "GET" })).status).toBe(401);
    const headers = as(push.house.key("a-1"));
    expect((await send(`${push.house.house.url}${path}`, { method: "GET", headers })).status).toBe(405);
    expect((await tell(path, update(task))).status).toBe(200);
    expect(await toldTo(webhook, 3)).toHaveLength(3);
  });

  it("may tell of its own task alone: another's is told to nobody, and leaves a dead letter", async () => {
    const { path } = await begun();
    const other = await startWebhook();
    const { task } = await begun(urlOf(other));
    const before = webhook.requests.length;
    expect((await tell(path, update(task, "TASK_STATE_FAILED"))).status).toBe(200);
    expect(await deadOf(task)).toMatchObject({ reason: "foreign_task" });
    expect(statesOf(webhook.requests.slice(before))).not.toContain("TASK_STATE_FAILED");
    expect(statesOf(other.requests)).not.toContain("TASK_STATE_FAILED");
    await other[Symbol.asyncDispose]();
  });

  it("A30: and says too much of one task, is told to wait, and others are not", async () => {
    const [{ path, task }, other] = [await begun(), await begun()];
    const answers = await Promise.all(Array.from({ length: 200 }, () => tell(path, update(task))));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(10);
    expect(refused.every(({ headers }) => Number(headers["retry-after"]) > 0)).toBe(true);
    expect((await tell(other.path, update(other.task))).status).toBe(200);
  });
});

describe("a webhook", () => {
  it("that fails is tried again until it takes what is for it", async () => {
    const { task, path } = await begun();
    await toldTo(webhook, 2);
    const before = webhook.requests.length;
    webhook.handler = answering(503, 429, 500, 200);
    await tell(path, update(task, "TASK_STATE_INPUT_REQUIRED"));
    const tried = statesOf((await toldTo(webhook, before + 4)).slice(before));
    expect(tried).toEqual(Array.from({ length: 4 }, () => "TASK_STATE_INPUT_REQUIRED"));
  });

  it("that refuses is tried a few times, one that never takes anything as often as is set; then there is a dead letter without secrets", async () => {
    for (const [status, tries] of [
      [403, 2],
      [500, 6],
    ] as const) {
      const { task, path } = await begun(urlOf(webhook, canary));
      await toldTo(webhook, 2);
      webhook.handler = answering(status);
      webhook.requests.length = 0;
      await tell(path, update(task));
      expect(await deadOf(task)).toMatchObject({ reason: `http_${status}`, tries, host: `127.0.0.1:${webhook.port}` });
      expect(webhook.requests.length).toBe(tries);
      webhook.handler = answering(200);
      webhook.requests.length = 0;
    }
    expect(JSON.stringify(await deadLetters())).not.toContain(canary);
    expect(await metric('sluice_push_deliveries_total{outcome="dead"')).toBeGreaterThan(1);
  });

  it("that hangs makes nobody else wait", async () => {
    const other = await startWebhook();
    const [slow, quick] = [await begun(), await begun(urlOf(other))];
    await toldTo(webhook, 2);
    await toldTo(other, 2);
    webhook.handler = () => {};
    for (let count = 0; count < 20; count++) await tell(slow.path, update(slow.task));
    const before = performance.now();
    await tell(quick.path, update(quick.task));
    await toldTo(other, 3);
    expect(performance.now() - before).toBeLessThan(390);
    webhook.handler = answering(200);
    await other[Symbol.asyncDispose]();
  });

  it("A26: that redirects inside or elsewhere is not followed, and what it holds back goes nowhere", async () => {
    const inside = await startWebhook();
    for (const location of [urlOf(inside), "http://169.254.169.254/latest/meta-data/", "https://hooks.example/"]) {
      const { task, path } = await begun();
      await toldTo(webhook, 2);
      webhook.handler = (_request, response) => void response.writeHead(307, { location }).end();
      await tell(path, update(task));
      expect(await deadOf(task)).toMatchObject({ reason: "redirect", status: 307 });
      webhook.handler = answering(200);
      webhook.requests.length = 0;
    }
    expect(inside.requests).toEqual([]);
    await inside[Symbol.asyncDispose]();
  });

  it("A31: has no secret in a log, the audit trail, a stream or, in clear, in Postgres", async () => {
    const authentication = { scheme: "Bearer", credentials: `${canary}-credentials` };
    const given = { url: urlOf(webhook, canary), token: `${canary}-token`, authentication };
    const { result } = await push.call("SendMessage", saying("echo", given));
    const taskId = result?.task?.id ?? "";
    await toldTo(webhook, 4);
    await push.call("CreateTaskPushNotificationConfig", { taskId, ...given, id: "more" });
    expect(webhook.everything).toContain(`Bearer ${canary}-credentials`);
    const trail = () =>
      push.house.query("select * from audit_events where action = 'push.deliver' and target like $1", [`%${taskId}%`]);
    const rows = await until("the trail", async () => ((await trail()).length >= 4 ? await trail() : undefined));
    expect(rows[0]).toMatchObject({ tenant: "acme", server: "v10", subject: "a-1", result: "done" });
    expect((rows[0] as { target: string }).target).toContain(`127.0.0.1:${webhook.port}`);
    const all = await Promise.all([
      push.house.logs(),
      push.house.stored(),
      push.house.queryTasks("select * from a2a_push").then((every) => JSON.stringify(every)),
      push.house
        .queryTasks("select sealed from a2a_push")
        .then((every) => every.map(({ sealed }) => (sealed as Buffer).toString("latin1")).join()),
      everyStream(),
    ]);
    for (const text of all) {
      expect(text.length).toBeGreaterThan(100);
      expect(text.includes(canary)).toBe(false);
    }
  });
});

it("A8: what belongs to an agent that is gone from the configuration is told to nobody any more", async () => {
  const { task, path } = await begun();
  await toldTo(webhook, 2);
  const tenant = tenantOf(push.agents);
  await push.house.configure({ acme: { ...tenant, agents: ["a-2"] } });
  await until("a-1 to be gone", async () => (await push.call("GetTask", { id: task })).status === 401);
  // Egress hears of the edit by itself: only what comes after its first refusal is certain to be told to nobody.
  const refused = await until("egress to know it too", async () => {
    await tell(path, update(task, "TASK_STATE_WORKING"));
    return await deadNow(task);
  });
  expect(refused).toMatchObject({ reason: "revoked" });
  await tell(path, update(task, "TASK_STATE_FAILED"));
  await until("nothing to wait", async () => (await waiting()) === 0);
  expect(statesOf(webhook.requests)).not.toContain("TASK_STATE_FAILED");
  await push.house.configure({ acme: tenant });
  await until("a-1 to be back", async () => (await push.call("GetTask", { id: task })).status === 200);
});

it("A37: what a replica had in hand when it was killed comes to its client from another", async () => {
  const { task, path } = await begun();
  await toldTo(webhook, 2);
  const held = Promise.withResolvers<void>();
  webhook.handler = () => held.resolve();
  await tell(path, update(task, "TASK_STATE_AUTH_REQUIRED"));
  await held.promise;
  const [killed] = push.house.house.of("egress");
  if (killed === undefined) throw new Error("no egress");
  killed.endedOnPurpose = true;
  killed.process.kill("SIGKILL");
  webhook.requests.length = 0;
  webhook.handler = answering(200);
  await push.house.house.add("egress");
  expect(statesOf(await toldTo(webhook, 1))).toEqual(["TASK_STATE_AUTH_REQUIRED"]);
  await until("it to be done with", async () => (await waiting()) === 0);
});

async function waiting(): Promise<number> {
  const nats = await connectAs(push.house, "control");
  const { state } = await (
    await jetstreamManager(nats)
  ).streams.info(streams.push.name, { subjects_filter: subjects.pushAll });
  await nats.close();
  return state.messages;
}

/** Every byte that lies in a stream of what this test made. */
async function everyStream(): Promise<string> {
  const nats = await connectAs(push.house, "control");
  const manager = await jetstreamManager(nats);
  const texts: string[] = [];
  for (const { name } of Object.values(streams)) {
    const { state } = await manager.streams.info(name);
    texts.push(`${name} ${state.last_seq}`);
    for (let seq = state.first_seq; seq > 0 && seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(name, { seq }).catch(() => null);
      texts.push(message?.string() ?? "");
    }
  }
  await nats.close();
  return texts.join("\n");
}
