import { Fault, longestTarget, type ListedKind } from "@sluice/contracts";
import { compile, cutElements, raw, scan, text, type JsonRange } from "@sluice/json";

/** What the gateway wants to know of a message from an upstream; the bytes themselves are relayed. */
export interface Observation {
  /** The answer to the request with this raw JSON id; undefined for anything but an answer. */
  readonly answers: string | undefined;
  readonly isError: boolean;
  /** The bytes of its result or error, where they were looked for. */
  readonly said?: Buffer;
  /** The notification by which the upstream says that a list has changed. */
  readonly changed?: string;
}

const observed = compile([["id"], ["method"], ["error"], ["result", "isError"]], []);
const nothing: Observation = { answers: undefined, isError: false };

/** Looks at a message without judging it: what cannot be read is simply not observed. */
export function observe(bytes: Buffer): Observation {
  const seen = scan(bytes, observed);
  if (!seen.ok) return nothing;
  const [id, method, error, isError] = seen.values;
  if (method !== undefined) return id === undefined ? observeNotice(raw(bytes, method)) : nothing;
  if (id === undefined) return nothing;
  return { answers: raw(bytes, id).toString("utf8"), isError: error !== undefined || isError?.kind === "true" };
}

const changeEnd = Buffer.from('/list_changed"');

function observeNotice(method: Buffer): Observation {
  if (!method.subarray(-changeEnd.length).equals(changeEnd)) return nothing;
  return { ...nothing, changed: method.toString("utf8", 1, method.length - 1) };
}

/** The lists a result may hold: under which member, what names an element, and what it is to policy. */
const lists: readonly { readonly member: string; readonly itemName: string; readonly kind: ListedKind }[] = [
  { member: "tools", itemName: "name", kind: "tools" },
  { member: "prompts", itemName: "name", kind: "prompts" },
  { member: "resources", itemName: "uri", kind: "resources" },
  { member: "resourceTemplates", itemName: "uriTemplate", kind: "resources" },
];
const listed = compile(lists.map(({ member, itemName }) => ({ path: ["result", member], items: true, itemName })));
const listMethods = new Set(["tools/list", "prompts/list", "resources/list", "resources/templates/list"]);

/** Whether the answer to this method is a list that policy filters. */
export function isListMethod(method: string): boolean {
  return listMethods.has(method);
}

/** Decides which of these names of tools or prompts, URIs of resources or texts of URI templates may be seen. */
export type ListFilter = (
  kind: ListedKind,
  names: string[],
  /** An element of the list as it came. */
  bytesOf: (index: number) => Buffer,
) => Promise<readonly boolean[]>;

/**
 * Cuts out of a list answer what the filter hides, or what has no name to be used by; what stays keeps its bytes.
 * @throws Fault `upstream_failed` where the answer cannot be read for certain: it is then not shown at all.
 */
export async function hideListed(bytes: Buffer, filter: ListFilter): Promise<Buffer> {
  const seen = scan(bytes, listed);
  if (!seen.ok) throw new Fault("upstream_failed", "the upstream's list is not unambiguous JSON");
  if (seen.root.kind !== "object") throw new Fault("upstream_failed", "the upstream's answer is no single message");
  const found = lists.flatMap(({ kind }, index) => {
    const range = seen.values[index];
    if (range?.items === undefined) return [];
    const { items } = range;
    return [{ kind, range, names: namesOf(items), bytesOf: (at: number) => raw(bytes, items[at] ?? range) }];
  });
  const cuts = await Promise.all(found.map(async (list) => ({ range: list.range, keep: await kept(list, filter) })));
  // From the last list on, so that the places of those before still hold.
  cuts.sort((one, other) => other.range.start - one.range.start);
  return cuts.reduce((shown, { range, keep }) => cutElements(shown, range, keep), bytes);
}

const watched = compile([{ path: ["params", "notifications", "resourceSubscriptions"], items: true }], []);

/** Cuts out of a request to listen the resources that its sender may not read (MCP 2026-07-28, Subscriptions). */
export async function hideWatched(bytes: Buffer, filter: ListFilter): Promise<Buffer> {
  const seen = scan(bytes, watched);
  const list = seen.ok ? seen.values[0] : undefined;
  if (list?.items === undefined || list.items.length === 0) return bytes;
  const names = list.items.map((item) => text(bytes, item));
  const { items } = list;
  const bytesOf = (index: number) => raw(bytes, items[index] ?? list);
  return cutElements(bytes, list, await kept({ kind: "resources", names, bytesOf }, filter));
}

function namesOf(items: readonly JsonRange[]): (string | undefined)[] {
  return items.map(({ name }) => (name !== undefined && name.length <= longestTarget ? name : undefined));
}

interface FoundList {
  readonly kind: ListedKind;
  readonly names: (string | undefined)[];
  readonly bytesOf: (index: number) => Buffer;
}

async function kept({ kind, names, bytesOf }: FoundList, filter: ListFilter): Promise<boolean[]> {
  const named = names.map((name) => name ?? "");
  const keep = await filter(kind, named, bytesOf);
  if (keep.length !== names.length) throw new Fault("internal", "policy's answer does not fit the list");
  return names.map((name, index) => name !== undefined && keep[index] === true);
}
