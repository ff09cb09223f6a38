import { randomUUID } from "node:crypto";
import type { A2aOperation } from "@sluice/contracts";
import { until } from "@sluice/testing";
import { sampleFile } from "./agents/behaviours.ts";
import type { A2aClient, SeenTask } from "./clients/client.ts";
import { codeOf, meaningOf, userHistory } from "./meaning.ts";
import { pushScenarios } from "./push-scenarios.ts";
import { beginLong, collect, isEnd, isWorking, read, say, sayPieces, taskOf, type Stage } from "./stage.ts";

/** A few calls in a row, and what they come to. */
export interface Scenario {
  readonly name: string;
  readonly operations: readonly A2aOperation[];
  /** Whether a client's revision can play it. */
  readonly isFor?: (client: Pick<A2aClient, "version" | "binding">) => boolean;
  /** The gateway answers by itself, in words of its own: only the meaning is compared. */
  readonly isGatewaysOwn?: true;
  /** What it gives is the same direct and through, and the same in all revisions. */
  readonly play: (stage: Stage) => Promise<unknown>;
}

const isNewerThan01: Scenario["isFor"] = ({ version }) => version !== "0.1";

const sends: Scenario[] = ["echo hello", "message hello", "fail", "reject", "files", "data", "chunks 3"].map(
  (text) => ({
    name: `send ${text}`,
    operations: ["SendMessage", "GetTask"],
    async play({ client, agent }) {
      if (text.startsWith("chunks")) agent.gates.release({ count: 3 });
      const answer = await client.send(say(text));
      const answered = meaningOf([answer]);
      // 0.1 has no messages alone, and tells them as the end of a task.
      if (text.startsWith("message")) return answered;
      const task = await client.get(taskOf(answer), 10);
      return { answer: answered, task: meaningOf([task]), known: userHistory(task) };
    },
  }),
);

const streams: Scenario[] = ["echo hello", "message hello", "fail", "reject", "files", "data"].map((text) => ({
  name: `stream ${text}`,
  operations: ["SendStreamingMessage"],
  play: async ({ client }) => meaningOf(await collect(client.stream(say(text)))),
}));

const steps: Scenario[] = ["slow 3", "chunks 3"].map((text) => ({
  name: `stream ${text}, step by step`,
  operations: ["SendStreamingMessage", "GetTask"],
  async play({ client, agent: { gates } }) {
    const reading = read((signal) => client.stream(say(text), { signal }));
    await reading.until(isWorking);
    for (let step = 1; step <= 3; step++) {
      await until("the agent waits", () => gates.waiting.length > 0);
      gates.release();
      await reading.until((seen) => (seen.is === "artifact" ? true : isWorking(seen)));
    }
    const seen = await reading.rest();
    const first = seen[0];
    return { stream: meaningOf(seen), task: first && meaningOf([await client.get(taskOf(first))]) };
  },
}));

const turns: Scenario[] = [
  {
    name: "a question and its answer, unary",
    operations: ["SendMessage"],
    async play({ client }) {
      const asked = (await client.send(say("input"))) as SeenTask;
      const { task, context } = asked;
      const done = await client.send(say("the first", { task, context }));
      const other = { isSame: taskOf(done) === task && (done as SeenTask).context === context };
      return { asked: meaningOf([asked]), done: meaningOf([done]), ...other };
    },
  },
  {
    name: "a question and its answer, streamed",
    operations: ["SendStreamingMessage"],
    async play({ client }) {
      const asked = await collect(client.stream(say("input")));
      const last = asked.at(-1);
      const done = last && (await collect(client.stream(say("the first", { task: taskOf(last) }))));
      return { asked: meaningOf(asked), done: done && meaningOf(done.filter(({ is }) => is !== "task")) };
    },
  },
  {
    name: "parts and references as the agent gets them",
    operations: ["SendMessage"],
    async play({ client }) {
      const earlier = taskOf(await client.send(say("echo first")));
      const pieces = [
        { text: "mirror" },
        { ...sampleFile, filename: "a.png" },
        { url: "https://files.example/b", mediaType: "text/plain" },
        { data: { deep: [{ er: "ä😀" }, 1.25, null] } },
      ];
      const more = client.version === "0.1" ? {} : { references: [earlier] };
      const task = (await client.send(sayPieces(pieces, more))) as SeenTask;
      const [told] = task.artifacts[0]?.pieces ?? [];
      const { references, ...rest } = (told as { data: { references: string[] } }).data;
      return { ...rest, isReferred: JSON.stringify(references) === JSON.stringify(more.references ?? []) };
    },
  },
  {
    name: "a context that the client has chosen",
    operations: ["SendMessage"],
    async play({ client }) {
      const context = `chosen-${randomUUID()}`;
      const first = (await client.send(say("echo one", { context }))) as SeenTask;
      const second = (await client.send(say("echo two", { context }))) as SeenTask;
      return [first, second].map((task) => [task.context === context, meaningOf([task])]);
    },
  },
];

const lives: Scenario[] = [
  {
    name: "a task that was begun and is left, found again and followed",
    operations: ["SendStreamingMessage", "GetTask", "SubscribeToTask"],
    async play(stage) {
      const { client, agent } = stage;
      const first = await beginLong(stage);
      await first.leave();
      const found = await client.get(first.task);
      const second = read((signal) => client.subscribe(first.task, signal));
      const third = read((signal) => client.subscribe(first.task, signal));
      const both = Promise.all([second.rest(), third.rest()]);
      both.catch(() => {});
      await until("the agent waits", () => agent.gates.waiting.includes(first.task) || agent.gates.waiting.length > 0);
      await until("both are subscribed", () => subscriptionsOf(client) === 2);
      agent.gates.release();
      const ends = (await both)
        .map((seen) => meaningOf(seen))
        .map(({ states, artifacts }) => [states.at(-1), artifacts]);
      return { found: meaningOf([found]), ends, task: meaningOf([await client.get(first.task)]) };
    },
  },
  {
    name: "a send that does not wait",
    operations: ["SendMessage", "GetTask"],
    isFor: isNewerThan01,
    async play({ client, agent: { gates } }) {
      const begun = (await client.send(say("long"), { isImmediate: true })) as SeenTask;
      await until("it is working", async () => isWorking(await client.get(begun.task)));
      await until("the agent waits", () => gates.waiting.length > 0);
      gates.release();
      return meaningOf([await until("it ends", async () => endOf(await client.get(begun.task)))]);
    },
  },
  {
    name: "a send whose answer takes its time",
    operations: ["SendMessage"],
    async play({ client, agent: { gates } }) {
      const before = gates.waiting.length;
      const answer = client.send(say("hang"));
      answer.catch(() => {});
      await until("the agent waits", () => gates.waiting.length > before);
      gates.release({ count: before + 1 });
      return meaningOf([await answer]);
    },
  },
  {
    name: "a task that is cancelled while it is watched",
    operations: ["CancelTask"],
    async play(stage) {
      const { client } = stage;
      const watching = await beginLong(stage);
      const cancelled = await client.cancel(watching.task);
      const seen = await watching.rest();
      const task = await client.get(watching.task);
      return { cancelled: cancelled.state, seen: meaningOf(seen), task: meaningOf([task]) };
    },
  },
  {
    name: "a task that has ended is not cancelled",
    operations: ["CancelTask"],
    async play({ client }) {
      const task = taskOf(await client.send(say("echo done")));
      return { code: await codeOf(client.cancel(task)) };
    },
  },
];

const unknowns: Scenario[] = [
  {
    name: "a task that nobody has",
    isGatewaysOwn: true,
    operations: ["GetTask", "CancelTask", "SubscribeToTask", "SendMessage"],
    async play({ client }) {
      const task = randomUUID();
      return {
        get: await codeOf(client.get(task)),
        cancel: await codeOf(client.cancel(task)),
        subscribe: await codeOf(collect(client.subscribe(task))),
        ...(client.version !== "0.1" && { send: await codeOf(client.send(say("echo", { task }))) }),
      };
    },
  },
  {
    name: "cards",
    isGatewaysOwn: true,
    operations: ["GetAgentCard", "GetExtendedAgentCard"],
    async play({ client }) {
      const { name, skills, urls } = await client.card();
      const extended = await client.extendedCard?.();
      const isElsewhere = extended?.urls.find((url) => new URL(url).origin !== new URL(urls[0] ?? "").origin);
      return { hasName: name !== "", skills, extended: extended?.skills, isElsewhere };
    },
  },
  {
    name: "a list of tasks",
    isGatewaysOwn: true,
    operations: ["ListTasks"],
    isFor: ({ version }) => version === "1.0",
    async play({ client }) {
      const context = `list-${randomUUID()}`;
      for (const text of ["echo 1", "echo 2", "fail"]) await client.send(say(text, { context }));
      const tasks = (await client.list?.({ context })) ?? [];
      return tasks
        .map((task) => meaningOf([task]))
        .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    },
  },
];

const endOf = (task: SeenTask) => (isEnd(task) ? task : undefined);

/** Those that the other side has begun to answer: 0.1 has no first event that would tell. */
const subscriptionsOf = ({ tape }: A2aClient): number =>
  tape.takes.filter(
    ({ status, body, url }) => status === 200 && /subscribe/i.test(body + url) && !/sendSubscribe/.test(body),
  ).length;

export const scenarios: readonly Scenario[] = [
  ...sends,
  ...streams,
  ...steps,
  ...turns,
  ...lives,
  ...unknowns,
  ...pushScenarios,
];
