import { hashName, reserve, type Reserved } from "./names.ts";

export const none = -1;
export const elementName = -2;

/** A wanted value: the member names that lead to it from the root; `[]` is the root itself. */
export type Path = readonly string[];

/**
 * A value whose parts are wanted too. Each member of an object is noted under its own name; each element of an array
 * under what its member `itemName` says, if it is an object and that member is a string.
 */
export interface ItemsOf {
  path: Path;
  items: true;
  itemName?: string;
}

/** Names that may appear in the object at `path` only in exactly this spelling. */
export interface Guard {
  path: Path;
  names: readonly string[];
}

export interface PlanNode {
  index: number;
  items: boolean;
  element: PlanNode | undefined;
  children: PlanChild[];
  reserved: Reserved | undefined;
}

interface PlanChild {
  name: string;
  encoded: Buffer;
  hash: number;
  node: PlanNode;
}

/** What a scan looks for; compile once, use for every document. */
export interface Plan {
  /** What a scan starts from: undefined for each want. */
  absent: readonly undefined[];
  root: PlanNode;
}

/** The names of JSON-RPC and MCP that decide what a message does. */
export const jsonRpcGuards: readonly Guard[] = [
  { path: [], names: words("jsonrpc id method params result error") },
  {
    path: ["params"],
    names: words(
      "name uri arguments _meta cursor protocolVersion capabilities clientInfo requestId progressToken taskId contextId id message ref level",
    ),
  },
  {
    path: ["params", "_meta"],
    names: words(
      "progressToken traceparent tracestate baggage io.modelcontextprotocol/protocolVersion io.modelcontextprotocol/clientInfo io.modelcontextprotocol/clientCapabilities",
    ),
  },
  {
    path: ["result"],
    names: words(
      "tools resources resourceTemplates prompts nextCursor content structuredContent isError _meta protocolVersion capabilities serverInfo resultType task id status",
    ),
  },
];

/**
 * Turns wanted values into a plan; a scan gives back its ranges in the same order. Every name on a wanted path is
 * guarded against other spellings, besides those of `guards`.
 */
export function compile(wants: readonly (Path | ItemsOf)[], guards: readonly Guard[] = jsonRpcGuards): Plan {
  const root = emptyNode();
  wants.forEach((want, index) => addWant(root, want, index));
  const names = new Map<PlanNode, string[]>();
  for (const guard of guards) {
    const node = nodeAt(root, guard.path);
    names.set(node, [...(names.get(node) ?? []), ...guard.names]);
  }
  protect(root, names);
  return { absent: wants.map(() => undefined), root };
}

function addWant(root: PlanNode, want: Path | ItemsOf, index: number): void {
  const items = "items" in want;
  const path = items ? want.path : want;
  const node = nodeAt(root, path);
  if (node.index !== none) throw new TypeError(`the path ${JSON.stringify(path)} is wanted twice; name it once`);
  node.index = index;
  if (!items) return;
  node.items = true;
  if (want.itemName === undefined) return;
  node.element = emptyNode();
  childOf(node.element, want.itemName).index = elementName;
}

function protect(node: PlanNode, guarded: Map<PlanNode, string[]>): void {
  const names = [...node.children.map((child) => child.name), ...(guarded.get(node) ?? [])];
  if (names.length > 0) node.reserved = reserve(names);
  for (const child of node.children) protect(child.node, guarded);
  if (node.element !== undefined) protect(node.element, guarded);
}

function nodeAt(root: PlanNode, path: Path): PlanNode {
  return path.reduce(childOf, root);
}

function childOf(node: PlanNode, name: string): PlanNode {
  const known = node.children.find((child) => child.name === name);
  if (known !== undefined) return known.node;
  const encoded = Buffer.from(name);
  const added = { name, encoded, hash: hashName(encoded), node: emptyNode() };
  node.children.push(added);
  return added.node;
}

function emptyNode(): PlanNode {
  return { index: none, items: false, element: undefined, children: [], reserved: undefined };
}

function words(list: string): string[] {
  return list.split(" ");
}
