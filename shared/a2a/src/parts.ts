import { Fault } from "@sluice/contracts";
import { isObject, member, type JsonObject } from "./json-object.ts";

/** The parts of messages and artifacts (1.0 §4.1.6), to and from the words of older revisions. */

/** Set in `metadata` of a data part whose value older revisions have no place for: it stands in `data.value` (as in the SDK). */
const wrappedFlag = "data_part_compat";
const contents = ["text", "raw", "url", "data"] as const;

/** A part of 0.1 or 0.3's JSON-RPC, which say what it is by `type` or `kind`. */
export function readPart(part: unknown, tag: "kind" | "type"): JsonObject {
  if (!isObject(part)) throw noPart("a part must be an object");
  const { [tag]: kind, metadata, text, file, data, ...rest } = part;
  const plain = without(rest, contents);
  if (kind === "text") return { text: typeof text === "string" ? text : "", ...plain, ...member("metadata", metadata) };
  if (kind === "data") return { ...readData(data, metadata), ...plain };
  if (kind !== "file" || !isObject(file)) throw noPart("a part must be a text, file or data part");
  const { bytes, uri, mimeType, name, ...more } = file;
  if ((typeof bytes === "string") === (typeof uri === "string")) throw noPart('a file part needs "bytes" or "uri"');
  return {
    ...without(more, [...contents, "metadata", "filename", "mediaType"]),
    ...(typeof bytes === "string" ? { raw: bytes } : { url: uri }),
    ...plain,
    ...member("filename", name),
    ...member("mediaType", mimeType),
    ...member("metadata", metadata),
  };
}

/** The other way. */
export function writePart(part: unknown, tag: "kind" | "type"): JsonObject {
  if (!isObject(part)) throw noPart("a part must be an object");
  const { text, raw, url, data, metadata, filename, mediaType, [tag]: _tag, file: _file, ...rest } = part;
  checkOne(part);
  if (text !== undefined) {
    const told = {
      ...member("filename", filename),
      ...member("mediaType", mediaType),
      ...member("metadata", metadata),
    };
    return { [tag]: "text", text, ...rest, ...told };
  }
  if (raw !== undefined || url !== undefined) {
    const where = raw === undefined ? { uri: url } : { bytes: raw };
    const file = { ...member("name", said(filename)), ...member("mimeType", said(mediaType)), ...where };
    return { [tag]: "file", file, ...rest, ...member("metadata", metadata) };
  }
  const told = { ...member("filename", filename), ...member("mediaType", mediaType) };
  return { [tag]: "data", ...rest, ...told, ...writeData(data, metadata) };
}

/** A part of 0.3's REST. */
export function readProtoPart(part: unknown): JsonObject {
  if (!isObject(part)) throw noPart("a part must be an object");
  const { text, file, data, metadata, ...rest } = part;
  const plain = { ...without(rest, contents), ...member("metadata", metadata) };
  if (typeof text === "string") return { text, ...plain };
  if (isObject(data)) return { ...without(rest, contents), ...readData(data["data"], metadata) };
  if (!isObject(file)) throw noPart("a part must have text, file or data");
  const { fileWithBytes, fileWithUri, mimeType, name, ...more } = file;
  if ((typeof fileWithBytes === "string") === (typeof fileWithUri === "string")) {
    throw noPart('a file needs "fileWithBytes" or "fileWithUri"');
  }
  return {
    ...without(more, [...contents, "metadata", "filename", "mediaType"]),
    ...(typeof fileWithBytes === "string" ? { raw: fileWithBytes } : { url: fileWithUri }),
    ...member("filename", said(name)),
    ...member("mediaType", said(mimeType)),
    ...plain,
  };
}

/** The other way. */
export function writeProtoPart(part: unknown): JsonObject {
  if (!isObject(part)) throw noPart("a part must be an object");
  const { text, raw, url, data, metadata, filename, mediaType, file: _file, ...rest } = part;
  checkOne(part);
  const told = { ...member("filename", filename), ...member("mediaType", mediaType) };
  if (text !== undefined) return { text, ...rest, ...told, ...member("metadata", metadata) };
  if (raw !== undefined || url !== undefined) {
    const where = raw === undefined ? { fileWithUri: url } : { fileWithBytes: raw };
    const file = { ...where, ...member("mimeType", said(mediaType)), ...member("name", said(filename)) };
    return { file, ...rest, ...member("metadata", metadata) };
  }
  const { data: value, ...more } = writeData(data, metadata);
  return { data: { data: value }, ...rest, ...told, ...more };
}

/** A part of 1.0 holds one thing. */
function checkOne(part: JsonObject): void {
  const held = contents.filter((name) => Object.hasOwn(part, name) && (name === "data" || part[name] !== null));
  if (held.length !== 1) throw noPart("a part must have one of text, raw, url and data");
}

function readData(data: unknown, metadata: unknown): JsonObject {
  if (!isObject(metadata) || metadata[wrappedFlag] !== true || !isObject(data) || !Object.hasOwn(data, "value")) {
    return { data: data ?? null, ...member("metadata", metadata) };
  }
  const { [wrappedFlag]: _flag, ...rest } = metadata;
  return { data: data["value"], ...(Object.keys(rest).length > 0 && { metadata: rest }) };
}

function writeData(data: unknown, metadata: unknown): JsonObject {
  if (isObject(data)) return { data, ...member("metadata", metadata) };
  return { data: { value: data }, metadata: { ...(isObject(metadata) && metadata), [wrappedFlag]: true } };
}

/** Proto-JSON says with an empty string that there is none. */
function said(value: unknown): unknown {
  return value === "" ? undefined : value;
}

/** The rest of an object that came with members which mean something else where it goes. */
export function without(object: JsonObject, names: readonly string[]): JsonObject {
  return names.some((name) => Object.hasOwn(object, name))
    ? Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))
    : object;
}

function noPart(message: string): Fault {
  return new Fault("content_type_not_supported", message);
}
