import { randomUUID } from "node:crypto";
import { until } from "@sluice/testing";
import { meaningOf } from "./meaning.ts";
import type { Scenario } from "./scenarios.ts";
import { beginLong, collect, say, taskOf, type Stage } from "./stage.ts";

const hasLists: Scenario["isFor"] = ({ version }) => version === "0.3" || version === "1.0";

/** Whether the webhook was told, in whatever words of a revision, that the task which has the artifact has ended. */
const wasTold = ({ webhook }: Stage, path: string) =>
  webhook.ledger.exchanges.some(({ path: at, body }) => at === path && /completed/i.test(body.toString("utf8")));

export const pushScenarios: readonly Scenario[] = [
  {
    name: "push notifications asked for with the message",
    operations: ["SendStreamingMessage"],
    async play(stage) {
      const { client, webhook } = stage;
      const path = `/${randomUUID()}`;
      const push = { id: "mine", url: `${webhook.origin}${path}`, token: "a token" };
      const seen = await collect(client.stream(say("echo pushed"), { push }));
      await until("the webhook is told", () => wasTold(stage, path));
      const told = webhook.ledger.exchanges.filter((exchange) => exchange.path === path);
      const tokens = new Set(told.map(({ headers }) => headers["x-a2a-notification-token"]));
      return { seen: meaningOf(seen), tokens: [...tokens], methods: [...new Set(told.map(({ method }) => method))] };
    },
  },
  {
    name: "push configurations of a task",
    isGatewaysOwn: true,
    operations: [
      "CreateTaskPushNotificationConfig",
      "GetTaskPushNotificationConfig",
      "ListTaskPushNotificationConfigs",
      "DeleteTaskPushNotificationConfig",
    ],
    async play(stage) {
      const { client, agent, webhook } = stage;
      const running = await beginLong(stage);
      const path = `/${randomUUID()}`;
      const id = hasLists(client) ? "mine" : running.task;
      const set = await client.setPush(running.task, { id, url: `${webhook.origin}${path}`, token: "a token" });
      const got = await client.getPush(running.task, id);
      const urls = [set, got].map(({ url }) => url === `${webhook.origin}${path}`);
      agent.gates.release();
      await running.rest();
      await until("the webhook is told", () => wasTold(stage, path));
      return { urls };
    },
  },
  {
    name: "push configurations that are listed and deleted",
    isGatewaysOwn: true,
    operations: ["ListTaskPushNotificationConfigs", "DeleteTaskPushNotificationConfig"],
    isFor: hasLists,
    async play({ client, webhook }) {
      const task = taskOf(await client.send(say("input")));
      const push = (id: string) => ({ id, url: `${webhook.origin}/${id}`, token: id });
      for (const id of ["one", "two"]) await client.setPush(task, push(id));
      const before = (await client.listPush?.(task))?.map(({ id }) => id).toSorted();
      await client.deletePush?.(task, "one");
      const after = (await client.listPush?.(task))?.map(({ id }) => id);
      return { before, after };
    },
  },
];
