import type { Dialect } from "@sluice/contracts";
import { compile, isRawNumber, parseExact, scan } from "@sluice/json";

type Members = Record<string, unknown>;

/** So much, or as much as there is already, is kept as it came before it is put together. */
const pendingBytes = 64 * 1024;

/** Where an event has what it says, by its name there. */
interface Shape {
  /** Members that name what follows by themselves (1.0, and REST of 0.3). */
  readonly task: string;
  readonly status: string;
  readonly artifact: string;
}

const named: Shape = { task: "task", status: "statusUpdate", artifact: "artifactUpdate" };
const kinds: Shape = { task: "task", status: "status-update", artifact: "artifact-update" };

/**
 * A task as the events of one stream leave it, in the words of their dialect, with all members that they have. It is told as
 * one more event of that stream.
 */
export class TaskView {
  readonly #dialect: Dialect;
  readonly #mostBytes: number;
  #base: Buffer | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #isLost = false;

  /** @param mostBytes a task that is larger is not kept: its snapshot is the agent's to give */
  constructor(dialect: Dialect, mostBytes: number) {
    this.#dialect = dialect;
    this.#mostBytes = mostBytes;
  }

  /** What it holds in memory. */
  get bytes(): number {
    return (this.#base?.length ?? 0) + this.#pendingBytes;
  }

  /** Whether there is a snapshot to be had. */
  get isKept(): boolean {
    return !this.#isLost && this.bytes > 0;
  }

  /** Takes the data of the next event. */
  apply(data: Buffer): void {
    if (this.#isLost) return;
    this.#pending.push(Buffer.from(data));
    this.#pendingBytes += data.length;
    if (this.#pendingBytes > Math.max(pendingBytes, this.#base?.length ?? 0)) this.#fold();
    if (this.bytes > this.#mostBytes) this.drop();
  }

  /** Keeps nothing from now on. */
  drop(): void {
    this.#isLost = true;
    this.#base = undefined;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  /** The data of an event that says what the task is now; undefined where that is not known. */
  snapshot(): Buffer | undefined {
    if (this.#pending.length > 0) this.#fold();
    return this.#base;
  }

  #fold(): void {
    let view: Event | undefined;
    try {
      if (this.#base !== undefined) view = read(this.#base, this.#dialect);
      for (const data of this.#pending) view = applied(view, read(data, this.#dialect), this.#dialect);
    } catch {
      view = undefined;
    }
    this.#pending = [];
    this.#pendingBytes = 0;
    if (view === undefined) this.drop();
    else this.#base = Buffer.from(JSON.stringify(view.whole));
  }
}

const answerPlan = compile([["result"]], []);

/** The task that an answer to `GetTask` holds, as the data of an event. */
export function taskEvent({ version, binding }: Dialect, answer: Buffer): Buffer {
  if (binding === "HTTP+JSON") return Buffer.concat([Buffer.from('{"task":'), answer, Buffer.from("}")]);
  if (version !== "1.0") return answer;
  const seen = scan(answer, answerPlan);
  const [result] = seen.ok ? seen.values : [];
  if (result === undefined) return answer;
  const task = answer.subarray(result.start, result.end);
  const parts = [answer.subarray(0, result.start), '{"task":', task, "}", answer.subarray(result.end)];
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
}

const ended01: ReadonlySet<unknown> = new Set(["completed", "failed", "canceled"]);

/** A task that was put into a stream of 0.1, whose clients know only what happens to one: as that; any other event is as it came. */
export function updatesOf01(data: Buffer): readonly Buffer[] {
  const whole = objectOf(parseExact(data.toString("utf8")));
  const task = objectOf(whole["result"]);
  if (kindOf01(task) !== "task") return [data];
  const { id, status } = task;
  const artifacts = listOf(task["artifacts"]).map((each, index) => ({
    id,
    artifact: { index, ...objectOf(each), append: false, lastChunk: true },
  }));
  const isLast = ended01.has(objectOf(status)["state"]);
  return [...artifacts, { id, status, final: isLast }].map((result) =>
    Buffer.from(JSON.stringify({ ...whole, result })),
  );
}

/** An event taken apart; `whole` has `body` in it. */
interface Event {
  readonly kind: "task" | "status" | "artifact" | "other";
  readonly body: Members;
  readonly whole: Members;
}

function read(data: Buffer, { version, binding }: Dialect): Event {
  const whole = objectOf(parseExact(data.toString("utf8")));
  const payload = binding === "JSONRPC" ? objectOf(whole["result"]) : whole;
  if (version === "0.1") return { kind: kindOf01(payload), body: payload, whole };
  if (version === "1.0" || binding === "HTTP+JSON") {
    for (const kind of ["task", "status", "artifact"] as const) {
      const body = payload[named[kind]];
      if (isObject(body)) return { kind, body, whole };
    }
    return { kind: "other", body: payload, whole };
  }
  const kind = (["task", "status", "artifact"] as const).find((each) => payload["kind"] === kinds[each]);
  return { kind: kind ?? "other", body: payload, whole };
}

/** Streams of 0.1 have no task: it is told as `tasks/get` tells it. */
function kindOf01(payload: Members): Event["kind"] {
  if (isObject(payload["artifact"])) return "artifact";
  if (!isObject(payload["status"])) return "other";
  return "final" in payload ? "status" : "task";
}

/** @returns undefined where the task is not known */
function applied(view: Event | undefined, event: Event, dialect: Dialect): Event | undefined {
  if (event.kind === "task") return event;
  if (event.kind === "other") return view;
  const base = view ?? begunWith(event, dialect);
  if (base === undefined) return undefined;
  if (event.kind === "status") takeStatus(base.body, event.body, dialect);
  else takeArtifact(base.body, event.body, dialect);
  return base;
}

/** A stream of 0.1 begins with what happens to a task that is new. */
function begunWith({ whole, body }: Event, { version }: Dialect): Event | undefined {
  if (version !== "0.1") return undefined;
  const task = { id: body["id"], status: { state: "submitted" }, artifacts: [] };
  return { kind: "task", body: task, whole: { ...whole, result: task } };
}

function takeStatus(task: Members, update: Members, { version }: Dialect): void {
  task["status"] = update["status"];
  mergeMetadata(task, update);
  const message = objectOf(objectOf(update["status"])["message"]);
  const id = message["messageId"];
  if (version === "0.1" || id === undefined) return;
  const history = listOf(task["history"]);
  if (!history.some((each) => objectOf(each)["messageId"] === id)) task["history"] = [...history, message];
}

function takeArtifact(task: Members, update: Members, { version }: Dialect): void {
  const artifact = objectOf(update["artifact"]);
  const artifacts = listOf(task["artifacts"]);
  const idOf = (each: unknown) => (version === "0.1" ? (objectOf(each)["index"] ?? 0) : objectOf(each)["artifactId"]);
  const at = artifacts.findIndex((each) => idOf(each) === idOf(artifact));
  const appends = (version === "0.1" ? artifact : update)["append"] === true;
  if (at === -1) artifacts.push(artifact);
  else artifacts[at] = appends ? appended(objectOf(artifacts[at]), artifact) : artifact;
  task["artifacts"] = artifacts;
  if (version !== "0.1") mergeMetadata(task, update);
}

/** What is known of an artifact and the parts it had, then what came with more of them. */
function appended(before: Members, more: Members): Members {
  const parts = [...listOf(before["parts"]), ...listOf(more["parts"])];
  const metadata = { ...objectOf(before["metadata"]), ...objectOf(more["metadata"]) };
  return { ...before, ...more, parts, ...(Object.keys(metadata).length > 0 && { metadata }) };
}

function mergeMetadata(into: Members, { metadata }: Members): void {
  if (isObject(metadata)) into["metadata"] = { ...objectOf(into["metadata"]), ...metadata };
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawNumber(value);
}

function objectOf(value: unknown): Members {
  return isObject(value) ? value : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? [...(value as unknown[])] : [];
}
