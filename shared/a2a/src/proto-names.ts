import { Fault } from "@sluice/contracts";
import { isRawNumber } from "@sluice/json";
import { isObject, type JsonObject } from "./json-object.ts";

/** Members of 1.0's requests that have another name in its proto file: readers of proto-JSON take both. */
const names = [
  "taskId",
  "contextId",
  "messageId",
  "referenceTaskIds",
  "mediaType",
  "acceptedOutputModes",
  "historyLength",
  "returnImmediately",
  "taskPushNotificationConfig",
  "pageSize",
  "pageToken",
  "includeArtifacts",
  "statusTimestampAfter",
] as const;
/** What an address may ask for once. */
const asked: ReadonlySet<string> = new Set([...names, "id", "name", "parent", "status"]);
/** What is inside of them is whatever the sender likes. */
const free: ReadonlySet<string> = new Set(["metadata", "data"]);

/** A member's name in the proto file. */
export function protoName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const byProtoName = new Map<string, string>(names.map((name) => [protoName(name), name]));

/** A path in every spelling that a reader of proto-JSON takes, the usual one first. */
export function spellingsOf(path: readonly string[]): (readonly string[])[] {
  return path.reduce<(readonly string[])[]>(
    (all, name) => [...new Set([name, protoName(name)])].flatMap((each) => all.map((before) => [...before, each])),
    [[]],
  );
}

/** The same under its usual names. @throws Fault `invalid_params` where one of them is there in both spellings */
export function usualNames(given: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const usual = byProtoName.get(name) ?? name;
      if (usual !== name && Object.hasOwn(given, usual)) throw saidTwice(usual);
      return [usual, free.has(name) ? value : within(value)];
    }),
  );
}

function within(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(within);
  return isObject(value) && !isRawNumber(value) ? usualNames(value) : value;
}

/** The same for what an address asks for. @throws Fault `invalid_params` where something is said more than once */
export function usualQuery(query: URLSearchParams): URLSearchParams {
  const usual = new URLSearchParams();
  for (const [name, value] of query) {
    const key = byProtoName.get(name) ?? name;
    if (usual.has(key) && asked.has(key)) throw saidTwice(key);
    usual.append(key, value);
  }
  return usual;
}

export function saidTwice(name: string): Fault {
  return new Fault("invalid_params", `"${name}" is there more than once`);
}
