import type { Members } from "./rpc.ts";

/** What can be listed, each with the method that lists it, where the list stands in the result, and what an item is called by. */
export const listKinds = {
  tools: { method: "tools/list", member: "name", capability: "tools", asks: "tools", separator: "_" },
  prompts: { method: "prompts/list", member: "name", capability: "prompts", asks: "prompts", separator: "_" },
  resources: { method: "resources/list", member: "uri", capability: "resources", asks: "resources", separator: "+" },
  resourceTemplates: {
    method: "resources/templates/list",
    member: "uriTemplate",
    capability: "resources",
    asks: "resources",
    separator: "+",
  },
} as const;
export type ListKind = keyof typeof listKinds;

export type PrefixMode = "always" | "conditional" | "never";

/** One thing of one upstream, under the name that agents know it by. */
export interface Exposed {
  readonly server: string;
  readonly own: string;
  readonly name: string;
  readonly item: Members;
}

export function kindOfMethod(method: string): ListKind | undefined {
  return (Object.keys(listKinds) as ListKind[]).find((kind) => listKinds[kind].method === method);
}

/** Which kind of thing a notification says has changed. */
export function changedKind(method: string): "tools" | "prompts" | "resources" | undefined {
  const kind = /^notifications\/(tools|prompts|resources)\/list_changed$/.exec(method)?.[1];
  return kind as "tools" | "prompts" | "resources" | undefined;
}

function nameOf(item: Members, kind: ListKind): string | undefined {
  const name = item[listKinds[kind].member];
  return typeof name === "string" ? name : undefined;
}

/**
 * The names of several upstreams in one list. A name that begins like a server's prefix is always that server's: so what
 * a name means to policy is known from the name alone. Separators cannot be part of a server's name.
 */
export class Names {
  readonly #mode: PrefixMode;
  readonly #servers: readonly string[];

  constructor(mode: PrefixMode, servers: readonly string[]) {
    this.#mode = mode;
    this.#servers = servers;
  }

  /** In the order of the servers; where names are never prefixed, the first server that has a name keeps it. */
  expose(
    kind: ListKind,
    listed: readonly { readonly server: string; readonly items: readonly Members[] }[],
  ): Exposed[] {
    const holders = new Map<string, number>();
    for (const { items } of listed)
      for (const own of new Set(items.map((item) => nameOf(item, kind))))
        if (own !== undefined) holders.set(own, (holders.get(own) ?? 0) + 1);
    const exposed = new Map<string, Exposed>();
    for (const { server, items } of listed) {
      for (const item of items) {
        const own = nameOf(item, kind);
        if (own === undefined) continue;
        const name = this.#name(kind, server, { own, isShared: (holders.get(own) ?? 0) > 1 });
        if (exposed.has(name)) continue;
        const shown = name === own ? item : { ...item, [listKinds[kind].member]: name };
        exposed.set(name, { server, own, name, item: shown });
      }
    }
    return [...exposed.values()];
  }

  prefixed(kind: ListKind, server: string, own: string): string {
    return `${server}${listKinds[kind].separator}${own}`;
  }

  /** The server that a name says it belongs to, and the name without that. */
  split(kind: ListKind, name: string): { server: string; own: string } | undefined {
    if (this.#mode === "never") return undefined;
    const at = name.indexOf(listKinds[kind].separator);
    const server = at > 0 ? name.slice(0, at) : "";
    return this.#servers.includes(server) ? { server, own: name.slice(at + 1) } : undefined;
  }

  #name(kind: ListKind, server: string, { own, isShared }: { own: string; isShared: boolean }): string {
    if (this.#mode === "never") return own;
    const needed = this.#mode === "always" || isShared || this.split(kind, own) !== undefined;
    return needed ? this.prefixed(kind, server, own) : own;
  }
}
