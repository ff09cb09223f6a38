import { Fault, isStreamed, type A2aOperation, type Dialect } from "@sluice/contracts";
import {
  compile,
  explain,
  scan,
  scanAsync,
  text,
  value,
  type JsonRange,
  type Path,
  type Plan,
  type Scan,
} from "@sluice/json";
import { coreState, isTerminal } from "./states.ts";
import type { Observed, WireAnswer } from "./wire.ts";

const about = [
  "kind",
  "id",
  "contextId",
  "sessionId",
  "taskId",
  "messageId",
  "final",
  "role",
  "artifacts",
  "history",
] as const;
const members: readonly Path[] = [
  ...about.map((name) => [name]),
  ["artifact"],
  ["status"],
  ["status", "state"],
  ["status", "timestamp"],
];
type Member = (typeof about)[number] | "artifact" | "status" | "state" | "timestamp";
const wrappers = ["task", "message", "msg", "statusUpdate", "artifactUpdate"] as const;

/** Values that tell of errors, at the start of each plan. */
const errorMembers = 2;
/** Results that are the thing itself, and results that wrap it, with and without JSON-RPC around. */
const plans: Readonly<Record<"rpc" | "rest", Readonly<Record<"direct" | "wrapped", Plan>>>> = {
  rpc: { direct: direct(["result"]), wrapped: wrapped(["result"]) },
  rest: { direct: direct([]), wrapped: wrapped([]) },
};

/** What is larger is read in slices, so that it holds up nobody. */
const largeBytes = 256 * 1024;

/** What an answer says. @throws Fault `upstream_failed` where nobody can be sure what it says. */
export async function observeAnswer(dialect: Dialect, operation: A2aOperation, answer: WireAnswer): Promise<Observed> {
  if (dialect.binding === "HTTP+JSON" && answer.status >= 400) return { kind: "error", isLast: true };
  if (operation.includes("PushNotification") || operation.endsWith("AgentCard") || operation === "ListTasks") {
    return await observePlain(dialect, answer);
  }
  const isTask = operation === "GetTask" || operation === "CancelTask";
  const isWrapped = !isTask && (dialect.version === "1.0" || dialect.binding === "HTTP+JSON");
  const isSure = isTask || (dialect.version === "0.1" && !isStreamed(operation));
  const form = isWrapped ? "wrapped" : isSure ? "task" : "any";
  const { body } = answer;
  return observe({ dialect, body, form }, await readAll(body, planFor(dialect, form)));
}

/** What the data of one event says. @throws Fault `upstream_failed` where nobody can be sure what it says. */
export function observeEvent(dialect: Dialect, data: Buffer): Observed {
  const form = dialect.version === "1.0" || dialect.binding === "HTTP+JSON" ? "wrapped" : "any";
  return observe({ dialect, body: data, form }, sureOf(scan(data, planFor(dialect, form))));
}

async function observePlain({ binding }: Dialect, { body }: WireAnswer): Promise<Observed> {
  if (binding === "HTTP+JSON" || body.length === 0) return { kind: "other", isLast: true };
  const [error] = await readAll(body, plans.rpc.direct);
  return { kind: error === undefined ? "other" : "error", isLast: true };
}

/** A result is `wrapped` in a member that says what it is, surely a `task`, or says itself what it is. */
type Form = "wrapped" | "task" | "any";

interface Seen {
  readonly dialect: Dialect;
  readonly body: Buffer;
  readonly form: Form;
}

function planFor({ binding }: Dialect, form: Form): Plan {
  return plans[binding === "JSONRPC" ? "rpc" : "rest"][form === "wrapped" ? "wrapped" : "direct"];
}

function observe({ dialect, body, form }: Seen, values: Values): Observed {
  const isRpc = dialect.binding === "JSONRPC";
  const [error, code] = values;
  if (error !== undefined && error.kind !== "null") return { kind: "error", isLast: true };
  if (!isRpc && code?.kind === "number") return { kind: "error", isLast: true };
  if (form !== "wrapped")
    return observeThing({ dialect, body }, values.slice(errorMembers), form === "task" ? form : undefined);
  for (const [index, wrapper] of wrappers.entries()) {
    const at = errorMembers + index * (members.length + 1);
    if (values[at]?.kind !== "object") continue;
    return observeThing(
      { dialect, body },
      values.slice(at + 1, at + 1 + members.length),
      wrapper === "msg" ? "message" : wrapper,
    );
  }
  return { kind: "other", isLast: false };
}

type Kind = Observed["kind"];
type Values = readonly (JsonRange | undefined)[];

function observeThing({ dialect, body }: { dialect: Dialect; body: Buffer }, values: Values, known?: Kind): Observed {
  const of = (name: Member) => values[indexOf(name)];
  const kind = known ?? kindOf(dialect, body, of);
  const isOwn = kind === "task" || dialect.version === "0.1";
  const task = text(body, isOwn ? of("id") : of("taskId"));
  const context = text(body, dialect.version === "0.1" ? of("sessionId") : of("contextId"));
  const said = of("state");
  const state = said === undefined ? undefined : coreState(value(body, said));
  const at = Date.parse(text(body, of("timestamp")) ?? "");
  return {
    kind: kind === "task" && task === undefined ? "other" : kind,
    ...(task !== undefined && task !== "" && { task }),
    ...(context !== undefined && context !== "" && { context }),
    ...(state !== undefined && { state }),
    ...(Number.isFinite(at) && { stateAt: at }),
    isLast: of("final")?.kind === "true" || endsWith(dialect, kind, state),
  };
}

/** 1.0 closes a stream where the task has ended; before, `final` says so. A message is all there is. */
function endsWith({ version }: Dialect, kind: Kind, state: string | undefined): boolean {
  return kind === "message" || (version === "1.0" && isTerminal(state));
}

function kindOf({ version }: Dialect, body: Buffer, of: (name: Member) => JsonRange | undefined): Kind {
  const said = text(body, of("kind"));
  if (said === "task" || said === "message") return said;
  if (said === "status-update") return "statusUpdate";
  if (said === "artifact-update" || of("artifact")?.kind === "object") return "artifactUpdate";
  const isWhole = (["sessionId", "contextId", "artifacts", "history"] as const).some((name) => of(name) !== undefined);
  if (of("status")?.kind === "object") {
    if (of("taskId") !== undefined) return "statusUpdate";
    return version === "0.1" && !isWhole ? "statusUpdate" : "task";
  }
  return of("messageId") !== undefined || of("role") !== undefined ? "message" : "other";
}

async function readAll(body: Buffer, plan: Plan): Promise<Values> {
  return sureOf(body.length > largeBytes ? await scanAsync(body, plan) : scan(body, plan));
}

function sureOf(seen: Scan): Values {
  if (!seen.ok) {
    throw new Fault("upstream_failed", "the agent's answer cannot be read", { cause: new Error(explain(seen.error)) });
  }
  if (seen.root.kind !== "object") throw new Fault("upstream_failed", "the agent's answer is no JSON object");
  return seen.values;
}

const places = new Map<Member, number>(members.map((path, index) => [path.at(-1) as Member, index] as const));

function indexOf(name: Member): number {
  return places.get(name) ?? -1;
}

function direct(prefix: Path): Plan {
  return compile([...errors(prefix), ...under(prefix)], []);
}

function wrapped(prefix: Path): Plan {
  const each = wrappers.flatMap((wrapper) => [[...prefix, wrapper], ...under([...prefix, wrapper])]);
  return compile([...errors(prefix), ...each], []);
}

/** An error of JSON-RPC and of 1.0's REST; the bare one of 0.3's REST has a code. */
function errors(prefix: Path): Path[] {
  return prefix.length > 0 ? [["error"], ["jsonrpc"]] : [["error"], ["code"]];
}

function under(prefix: Path): Path[] {
  return members.map((member) => [...prefix, ...member]);
}
