import type { IncomingMessage } from "node:http";
import { a2aRoutes, type A2aRoute } from "@sluice/contracts";
import type { Door, Entered } from "../doors.ts";
import type { Tenants } from "../tenants.ts";
import type { CardDesk } from "./card-desk.ts";
import { versionOf, type A2a } from "./a2a.ts";
import { A2aFault, dialectAt } from "./a2a-fault.ts";
import type { TaskPath } from "./task-form.ts";
import type { TaskPaths } from "./task-paths.ts";

/** What carries requests by A2A out. */
export interface A2aDoors {
  readonly a2a: A2a;
  readonly cardDesk: CardDesk;
  readonly taskPaths: TaskPaths;
  readonly tenants: Tenants;
}

/** The paths of A2A that are open. A part that has paths of its own adds them here. */
export function a2aDoorsOf({ a2a, cardDesk, taskPaths, tenants }: A2aDoors): Door[] {
  const atAgent = (entered: Entered) =>
    a2a.handle({ ...entered, agent: entered.server, rest: restOf(entered.request) });
  const byTask = (path: TaskPath) => (entered: Entered) =>
    taskPaths.carry({ ...entered, agent: undefined, rest: "" }, path);
  const carriers: Partial<Record<A2aRoute, Door["carry"]>> = {
    "/a2a": atAgent,
    "/a2a/:agent": atAgent,
    "/a2a/:agent/*": atAgent,
    "/a2a/agent-card": ({ request, response, principal }) =>
      cardDesk.serve({ request, response, principal, agent: undefined, unversioned: "both" }),
    "/a2a/tasks/send": byTask("send"),
    "/a2a/tasks/sendSubscribe": byTask("sendSubscribe"),
    "/a2a/tasks/get": byTask("get"),
    "/a2a/tasks/cancel": byTask("cancel"),
  };
  const urls = Object.keys(carriers) as A2aRoute[];
  return urls.flatMap((url) => {
    const carry = carriers[url];
    if (carry === undefined) return [];
    return {
      url,
      methods: a2aRoutes[url],
      protocol: "a2a",
      carry,
      about: ({ tenant }) => tenants.require(tenant).agentEndpoints[0]?.name,
      told: (request, thrown) => new A2aFault(thrown, { dialect: dialectAt(restOf(request), versionOf(request)) }),
    } satisfies Door;
  });
}

/** What stands behind an agent's address, with the query; empty for JSON-RPC, whose address may end with a slash. */
function restOf({ url = "" }: IncomingMessage): string {
  const [, path = "", query = ""] = /^\/a2a(?:\/[^/?]*)?([^?]*)(\?.*)?$/s.exec(url) ?? [];
  return path === "" || path === "/" ? "" : `${path}${query}`;
}
