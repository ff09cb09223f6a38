import { Fault } from "@sluice/contracts";
import { deafSink, type About, type Peer } from "./peer.ts";
import { isObject, type Members } from "./rpc.ts";
import { listKinds, type ListKind } from "./names.ts";

/** Everything of one kind that an upstream lists. */
export interface Listing {
  readonly items: readonly Members[];
  /** Unix milliseconds. */
  readonly freshUntil: number;
  /** Whether every caller may see it. */
  readonly isPublic: boolean;
}

/** Whose view of which upstream; what identifies it is never shared with another principal. */
export interface View {
  readonly tenant: string;
  readonly server: string;
  /** Address of the upstream: a changed endpoint has other lists. */
  readonly url: string;
  readonly agent: string;
  readonly cacheMs: number;
}

interface Kept {
  readonly listing: Promise<Listing>;
  isSettled: boolean;
}

type WithPeer = <T>(work: (peer: Peer) => Promise<T>) => Promise<T>;

const maxPages = 200;
const maxItems = 50_000;
const maxViews = 10_000;

/**
 * What upstreams list, fetched once for all who ask meanwhile, and kept for the upstream's own time to live or the
 * endpoint's, per principal unless the upstream calls it public (MCP 2026-07-28, Caching).
 */
export class Lists {
  readonly #kept = new Map<string, Kept>();
  readonly #about = new Map<string, { about: Promise<About>; until: number }>();

  async get(view: View, kind: ListKind, withPeer: WithPeer): Promise<Listing> {
    const keys = [keyOf(view, kind, ""), keyOf(view, kind, view.agent)] as const;
    for (const key of keys) {
      for (let kept = this.#kept.get(key); kept !== undefined; kept = this.#kept.get(key)) {
        const joined = !kept.isSettled;
        const listing = await kept.listing.catch(() => undefined);
        if (listing !== undefined && (joined || listing.freshUntil > Date.now())) return listing;
        if (this.#kept.get(key) === kept) this.#kept.delete(key);
      }
    }
    return await this.#fetch(view, { kind, keys }, withPeer);
  }

  /** What an upstream said of itself, kept as long as its lists. */
  about(view: View, withPeer: WithPeer): Promise<About> {
    const key = keyOf(view, undefined, view.agent);
    const known = this.#about.get(key);
    if (known !== undefined && known.until > Date.now()) return known.about;
    const about = withPeer((peer) => peer.about(AbortSignal.timeout(30_000)));
    this.#about.set(key, { about, until: Date.now() + Math.max(1_000, view.cacheMs) });
    about.catch(() => this.#about.delete(key));
    return about;
  }

  /** The upstream says that a list has changed, or its endpoint has. */
  drop({ tenant, server }: Pick<View, "tenant" | "server">, kind?: ListKind): void {
    const prefix = `${tenant}\0${server}\0`;
    const ends = kind === undefined ? "" : `\0${kind}`;
    for (const key of this.#kept.keys()) if (key.startsWith(prefix) && key.endsWith(ends)) this.#kept.delete(key);
    if (kind === undefined) for (const key of this.#about.keys()) if (key.startsWith(prefix)) this.#about.delete(key);
  }

  #fetch(view: View, { kind, keys }: { kind: ListKind; keys: readonly [string, string] }, withPeer: WithPeer) {
    const kept: Kept = { listing: this.#ask(view, kind, withPeer), isSettled: false };
    this.#keep(keys[1], kept);
    kept.listing.then(
      ({ isPublic }) => {
        kept.isSettled = true;
        if (isPublic) this.#keep(keys[0], kept);
      },
      () => (kept.isSettled = true),
    );
    return kept.listing;
  }

  #keep(key: string, kept: Kept): void {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= maxViews && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, kept);
  }

  async #ask(view: View, kind: ListKind, withPeer: WithPeer): Promise<Listing> {
    const { capabilities } = await this.about(view, withPeer);
    if (capabilities[listKinds[kind].capability] === undefined)
      return { items: [], freshUntil: Date.now() + view.cacheMs, isPublic: false };
    return await withPeer((peer) => fetchAll(peer, kind, view.cacheMs));
  }
}

/** Reads page after page; an upstream that leads in circles is stopped. */
async function fetchAll(peer: Peer, kind: ListKind, cacheMs: number): Promise<Listing> {
  const sink = deafSink(AbortSignal.timeout(30_000));
  const items: Members[] = [];
  const seen = new Set<string>();
  let ttlMs = cacheMs;
  let isPublic = true;
  for (let cursor: string | undefined, page = 0; page < maxPages; page++) {
    const result = await peer.request(
      { method: listKinds[kind].method, params: cursor === undefined ? {} : { cursor } },
      sink,
    );
    const listed = result[kind];
    if (!Array.isArray(listed))
      throw new Fault("upstream_failed", `the upstream's answer to ${listKinds[kind].method} has no list`);
    items.push(...listed.filter(isObject));
    if (items.length > maxItems) throw new Fault("upstream_failed", "the upstream lists more than can be kept");
    if (typeof result["ttlMs"] === "number") ttlMs = Math.min(ttlMs, Math.max(0, result["ttlMs"]));
    isPublic &&= result["cacheScope"] === "public";
    const next = result["nextCursor"];
    if (typeof next !== "string" || seen.has(next)) break;
    seen.add(next);
    cursor = next;
  }
  return { items, freshUntil: Date.now() + ttlMs, isPublic };
}

function keyOf({ tenant, server, url }: View, kind: ListKind | undefined, agent: string): string {
  return `${tenant}\0${server}\0${url}\0${agent}\0${kind ?? "about"}`;
}
