import { isObject, type JsonObject } from "./json-object.ts";
import type { CoreEvent, Words } from "./words.ts";

const kinds = ["task", "message", "statusUpdate", "artifactUpdate"] as const;

const same = (thing: JsonObject): JsonObject => thing;

/** 1.0 itself. */
export const coreWords: Words = {
  readTask: same,
  writeTask: same,
  readSent: read,
  writeSent: write,
  readEvent: read,
  writeEvents: (event) => [write(event)],
  readSend: same,
  writeSend: same,
  readPushConfig: same,
  writePushConfig: same,
};

function read(wrapper: JsonObject): CoreEvent | undefined {
  for (const kind of kinds) {
    const value = wrapper[kind];
    if (isObject(value)) return { kind, value };
  }
  return undefined;
}

function write({ kind, value }: CoreEvent): JsonObject {
  return { [kind]: value };
}
