import type { Renamed, Renames } from "@sluice/contracts";
import { compile, scan, text, type Plan } from "@sluice/json";

/** Which names a string may hold; `taskPath` is 0.3's `tasks/<id>` and what follows. */
type Leaf = "task" | "context" | "taskPath";

/** Where names stand in a document: an array stands for each of its elements. */
export interface Shape {
  readonly [member: string]: Leaf | Shape | readonly [Leaf | Shape];
}

/** What a name on one side is called on the other; undefined where it is the same. */
export type NameOf = (leaf: Leaf, name: string) => string | undefined;

interface Want {
  readonly leaf?: Leaf;
  readonly element?: Leaf | Compiled;
}
interface Compiled {
  readonly plan: Plan;
  readonly wants: readonly Want[];
}
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const message: Shape = { taskId: "task", contextId: "context", referenceTaskIds: ["task"] };
/** A task, and the events about it: no name means two things in them. */
export const taskShape: Shape = {
  id: "task",
  contextId: "context",
  taskId: "task",
  status: { message },
  history: [message],
};
export const messageShape = message;

/** How the other side calls things, in the direction that is asked for. */
export function namesTowards(side: "client" | "upstream", renames: Renames | undefined): NameOf | undefined {
  const tasks = tableOf(renames?.tasks, side);
  const contexts = tableOf(renames?.contexts, side);
  if (tasks.size === 0 && contexts.size === 0) return undefined;
  return (leaf, name) => {
    if (leaf === "context") return contexts.get(name);
    if (leaf === "task") return tasks.get(name);
    const [, id = "", rest = ""] = /^tasks\/([^/]+)(.*)$/s.exec(name) ?? [];
    const other = tasks.get(id);
    return other === undefined ? undefined : `tasks/${other}${rest}`;
  };
}

const compiled = new WeakMap<Shape, Compiled>();

/** The document with its names changed and every other byte as it was; undefined where it cannot be read. */
export function renameBytes(bytes: Buffer, shape: Shape, nameOf: NameOf): Buffer | undefined {
  const edits: Edit[] = [];
  if (!collect({ bytes, base: 0 }, compiledOf(shape), { nameOf, edits })) return undefined;
  if (edits.length === 0) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  for (const edit of edits.toSorted((one, other) => one.start - other.start)) {
    parts.push(bytes.subarray(at, edit.start), Buffer.from(edit.text));
    at = edit.end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

/** A copy of a parsed value with its names changed. */
export function renameValue(value: unknown, shape: Leaf | Shape | readonly [Leaf | Shape], nameOf: NameOf): unknown {
  if (typeof shape === "string") return typeof value === "string" ? (nameOf(shape, value) ?? value) : value;
  if (isElements(shape)) {
    return Array.isArray(value) ? value.map((element: unknown) => renameValue(element, shape[0], nameOf)) : value;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]: [string, unknown]) => {
      const inner = Object.hasOwn(shape, name) ? shape[name] : undefined;
      return [name, inner === undefined ? member : renameValue(member, inner, nameOf)];
    }),
  );
}

/** A stretch of the document, and where it begins. */
interface Stretch {
  readonly bytes: Buffer;
  readonly base: number;
}

function collect({ bytes, base }: Stretch, { plan, wants }: Compiled, to: { nameOf: NameOf; edits: Edit[] }): boolean {
  const seen = scan(bytes, plan);
  if (!seen.ok) return false;
  return wants.every(({ leaf, element }, index) => {
    const range = seen.values[index];
    if (range === undefined) return true;
    if (leaf !== undefined) {
      addEdit(bytes, base, { range, leaf, ...to });
      return true;
    }
    return (range.items ?? []).every((item) => {
      if (range.kind !== "array" || element === undefined) return true;
      if (typeof element === "string") addEdit(bytes, base, { range: item, leaf: element, ...to });
      else return collect({ bytes: bytes.subarray(item.start, item.end), base: base + item.start }, element, to);
      return true;
    });
  });
}

interface Found {
  readonly range: Parameters<typeof text>[1] & {};
  readonly leaf: Leaf;
  readonly nameOf: NameOf;
  readonly edits: Edit[];
}

function addEdit(bytes: Buffer, base: number, { range, leaf, nameOf, edits }: Found): void {
  const name = text(bytes, range);
  const other = name === undefined ? undefined : nameOf(leaf, name);
  if (other !== undefined)
    edits.push({ start: base + range.start, end: base + range.end, text: JSON.stringify(other) });
}

function compiledOf(shape: Shape): Compiled {
  const known = compiled.get(shape);
  if (known !== undefined) return known;
  const paths: Parameters<typeof compile>[0][number][] = [];
  const wants: Want[] = [];
  const add = (path: readonly string[], inner: Shape): void => {
    for (const [name, member] of Object.entries(inner)) {
      const at = [...path, name];
      if (typeof member === "string") {
        paths.push(at);
        wants.push({ leaf: member });
      } else if (isElements(member)) {
        paths.push({ path: at, items: true });
        wants.push({ element: typeof member[0] === "string" ? member[0] : compiledOf(member[0]) });
      } else add(at, member);
    }
  };
  add([], shape);
  const made = { plan: compile(paths, []), wants };
  compiled.set(shape, made);
  return made;
}

export function isElements(shape: Leaf | Shape | readonly [Leaf | Shape]): shape is readonly [Leaf | Shape] {
  return Array.isArray(shape);
}

function tableOf(renamed: readonly Renamed[] | undefined, side: "client" | "upstream"): Map<string, string> {
  const from = side === "client" ? "upstream" : "client";
  return new Map((renamed ?? []).map((each) => [each[from], each[side]]));
}

/** The names of the verdict, and those that came about with the answer. */
export function allRenames(known: Renames | undefined, fresh: Renames | undefined): Renames | undefined {
  if (known === undefined || fresh === undefined) return fresh ?? known;
  return {
    tasks: [...(fresh.tasks ?? []), ...(known.tasks ?? [])],
    contexts: [...(fresh.contexts ?? []), ...(known.contexts ?? [])],
  };
}
