import { Fault, type A2aOperation, type A2aVersion } from "@sluice/contracts";
import { usualQuery } from "./proto-names.ts";
import type { WireRequest } from "./wire.ts";

/** What the address of a REST call says. */
export interface RestTarget {
  readonly operation: A2aOperation;
  /** Of 1.0: the segment in front of the path. */
  readonly tenant?: string;
  readonly task?: string;
  readonly pushConfig?: string;
  readonly query: URLSearchParams;
}

type Verb = WireRequest["http"];
interface Route {
  readonly http: readonly Verb[];
  readonly operation: A2aOperation;
  /** Named groups `task` and `config`. */
  readonly path: RegExp;
  readonly write: (target: RestTarget) => string;
}

const task = "(?<task>[^/]+?)";
const config = "(?<config>[^/]+)";
const configs = "/pushNotificationConfigs";

const shared: readonly Route[] = [
  route("SendMessage", "POST /message:send", () => "/message:send"),
  route("SendStreamingMessage", "POST /message:stream", () => "/message:stream"),
  route("CancelTask", `POST /tasks/${task}:cancel`, (to) => `/tasks/${encode(to.task)}:cancel`),
  route("SubscribeToTask", `POST|GET /tasks/${task}:subscribe`, (to) => `/tasks/${encode(to.task)}:subscribe`),
  route("GetTask", `GET /tasks/${task}`, (to) => `/tasks/${encode(to.task)}`),
  route("ListTasks", "GET /tasks", () => "/tasks"),
  route("CreateTaskPushNotificationConfig", `POST /tasks/${task}${configs}`, configsOf),
  route("ListTaskPushNotificationConfigs", `GET /tasks/${task}${configs}/?`, configsOf),
  route("GetTaskPushNotificationConfig", `GET /tasks/${task}${configs}/${config}`, configOf),
  route("DeleteTaskPushNotificationConfig", `DELETE /tasks/${task}${configs}/${config}`, configOf),
];

const routes: Readonly<Partial<Record<A2aVersion, readonly Route[]>>> = {
  "0.3": [...shared, route("GetExtendedAgentCard", "GET /card", () => "/card")],
  "1.0": [...shared, route("GetExtendedAgentCard", "GET /extendedAgentCard", () => "/extendedAgentCard")],
};

const legacyPrefix = "/v1";

/** Which revision a REST address is of, where no header says it: 0.3 lives under `/v1`. */
export function restVersion(rest: string): A2aVersion {
  return /^\/v1(?:[/?]|$)/.test(rest) ? "0.3" : "1.0";
}

/**
 * Reads what stands behind the agent's address.
 * @throws Fault `not_found` or `method_not_allowed` where the revision has nothing there, `invalid_params` for an id that cannot be read.
 */
export function readRest(version: A2aVersion, http: Verb, rest: string): RestTarget {
  const cut = rest.indexOf("?");
  const path = cut < 0 ? rest : rest.slice(0, cut);
  const query = usualQuery(new URLSearchParams(cut < 0 ? "" : rest.slice(cut + 1)));
  const within = version === "0.3" ? path.slice(legacyPrefix.length) : path;
  const found = findRoute(version, http, within);
  if (found !== undefined) return { ...found, query };
  const [, tenant, behind] = version === "1.0" ? (/^\/([^/]+)(\/.*)$/.exec(path) ?? []) : [];
  const behindTenant = behind === undefined ? undefined : findRoute(version, http, behind);
  if (tenant !== undefined && behindTenant !== undefined)
    return { ...behindTenant, tenant: decode(tenant, isNoTenant), query };
  if ((["GET", "POST", "DELETE"] as const).some((verb) => findRoute(version, verb, within) !== undefined)) {
    throw new Fault("method_not_allowed", `${http} is not what A2A ${version} has at this path`);
  }
  throw new Fault("not_found", `A2A ${version} has no such path`);
}

/** The address of an operation. @throws Fault `unsupported_operation` where the revision has no REST address for it. */
export function writeRest(version: A2aVersion, target: RestTarget): Pick<WireRequest, "http" | "rest"> {
  const { operation, tenant, query } = target;
  const found = routes[version]?.find((each) => each.operation === operation);
  if (found === undefined)
    throw new Fault("unsupported_operation", `A2A ${version} has no ${operation} over HTTP+JSON`);
  const path = found.write(target);
  const inFront = version === "0.3" ? legacyPrefix : tenant === undefined ? "" : `/${encode(tenant)}`;
  const asked = query.toString();
  return { http: found.http[0] as Verb, rest: `${inFront}${path}${asked === "" ? "" : `?${asked}`}` };
}

function findRoute(version: A2aVersion, http: Verb, path: string): Omit<RestTarget, "query"> | undefined {
  for (const { http: verbs, operation, path: pattern } of routes[version] ?? []) {
    if (!verbs.includes(http)) continue;
    const groups = pattern.exec(path);
    if (groups === null) continue;
    const { task: id, config: name } = groups.groups ?? {};
    return {
      operation,
      ...(id !== undefined && { task: decode(id) }),
      ...(name !== undefined && { pushConfig: decode(name) }),
    };
  }
  return undefined;
}

function decode(segment: string, isRefused = hasSteps): string {
  let decoded;
  try {
    decoded = decodeURIComponent(segment);
  } catch (cause) {
    throw new Fault("invalid_params", "an id in the path is not well encoded", { cause });
  }
  if (isRefused(decoded)) throw new Fault("invalid_params", "an id in the path is no name");
  return decoded;
}

/** Whoever decodes the address before resolving it would take a part of it for a step to another path; some cut off what follows a `;`. */
function hasSteps(id: string): boolean {
  return /(?:^|[/\\])\.{1,2}(?:[/\\;]|$)|\p{Cc}/u.test(id);
}

/** A tenant that is more than one segment to somebody, however often he decodes it. */
function isNoTenant(tenant: string): boolean {
  return hasSteps(tenant) || /[/\\%]/.test(tenant);
}

function encode(id: string | undefined): string {
  if (id === undefined || id === "" || hasSteps(id))
    throw new Fault("invalid_params", "this id has no place in a path");
  return encodeURIComponent(id);
}

function configsOf(to: RestTarget): string {
  return `/tasks/${encode(to.task)}${configs}`;
}

function configOf(to: RestTarget): string {
  return `${configsOf(to)}/${encode(to.pushConfig)}`;
}

/** An operation, what it is asked for with, and its path as it is read; and then as it is written. */
function route(operation: A2aOperation, asked: string, write: Route["write"]): Route {
  const [verbs = "", path = ""] = asked.split(" ");
  return { operation, http: verbs.split("|") as Verb[], path: new RegExp(`^${path}$`), write };
}
