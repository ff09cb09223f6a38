import { Fault } from "@sluice/contracts";
import type { Hashes, Inspected } from "../definitions/tool-gate.ts";
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
  /** Unix milliseconds. */
  readonly fetchedAt: number;
  /** Of tools, where somebody looks at that: what they are defined as. */
  readonly hashes?: Hashes;
}

/** Looks at what an upstream lists before anybody sees it; nothing where nobody wants to. */
export type Inspect = (view: View, kind: ListKind, items: readonly Members[]) => Promise<Inspected> | undefined;

/** Whose view of which upstream; what identifies it is never shared with another principal. */
export interface View {
  readonly tenant: string;
  readonly server: string;
  /** Address of the upstream: a changed endpoint has other lists. */
  readonly url: string;
  readonly identity: string;
  /** What else an upstream can tell callers by: what the client can do, and its header fields that go on. */
  readonly shown: string;
  readonly cacheMs: number;
  /** Nobody wants the things themselves: only what they are defined as is kept. */
  readonly hashesOnly?: boolean;
}

interface Kept {
  readonly listing: Promise<Listing>;
  isSettled: boolean;
}

/** What is known of one upstream, by view and kind; the oldest first. */
interface Place {
  readonly kept: Map<string, Kept>;
  readonly about: Map<string, { about: Promise<About>; until: number }>;
  /** What was listed last, however long ago. */
  readonly names: Map<string, readonly Members[]>;
}

type WithPeer = <T>(work: (peer: Peer) => Promise<T>) => Promise<T>;

/** How long a list is kept that could not be looked at for certain. */
const uncertainMs = 2_000;
const maxPages = 200;
const maxItems = 50_000;
const maxPlaces = 1_000;
/** Of one upstream. */
const maxViews = 2_000;
/** Of one caller at one upstream, per kind: what it says of itself, it can vary freely. */
const maxPerCaller = 256;

/**
 * What upstreams list, fetched once for all who ask meanwhile, and kept for the upstream's own time to live or the
 * endpoint's, per principal unless the upstream calls it public (MCP 2026-07-28, Caching).
 */
export class Lists {
  readonly #places = new Map<string, Place>();
  readonly #inspect: Inspect;

  constructor(inspect: Inspect = () => undefined) {
    this.#inspect = inspect;
  }

  async get(view: View, kind: ListKind, withPeer: WithPeer): Promise<Listing> {
    const { kept: all } = this.#place(view);
    const keys = [keyOf({ ...view, identity: "" }, kind), keyOf(view, kind)] as const;
    for (const key of keys) {
      for (let kept = all.get(key); kept !== undefined; kept = all.get(key)) {
        const joined = !kept.isSettled;
        const listing = await kept.listing.catch(() => undefined);
        if (listing !== undefined && (joined || listing.freshUntil > Date.now())) return listing;
        if (all.get(key) === kept) all.delete(key);
      }
    }
    return await this.#fetch(view, { kind, keys }, withPeer);
  }

  /** What is listed now, whatever is kept; a fetch that is under way will do. */
  async getAnew(view: View, kind: ListKind, withPeer: WithPeer): Promise<Listing> {
    const { kept: all } = this.#place(view);
    for (const key of [keyOf({ ...view, identity: "" }, kind), keyOf(view, kind)])
      if (all.get(key)?.isSettled === true) all.delete(key);
    return await this.get(view, kind, withPeer);
  }

  /** What an upstream said of itself, kept as long as its lists. */
  about(view: View, withPeer: WithPeer): Promise<About> {
    const { about: all } = this.#place(view);
    const key = keyOf(view, undefined);
    const known = all.get(key);
    if (known !== undefined && known.until > Date.now()) return known.about;
    const about = withPeer((peer) => peer.about(AbortSignal.timeout(30_000)));
    keep(all, key, { about, until: Date.now() + Math.max(1_000, view.cacheMs) });
    about.catch(() => all.delete(key));
    return about;
  }

  /** What an upstream listed when it last did, for names alone: undefined where it never did. */
  last(view: View, kind: ListKind): readonly Members[] | undefined {
    const { names } = this.#place(view);
    return names.get(keyOf(view, kind)) ?? names.get(keyOf({ ...view, identity: "" }, kind));
  }

  /** The upstream says that a list has changed, or its endpoint has. */
  drop(at: Pick<View, "tenant" | "server">, kind?: ListKind): void {
    const place = this.#places.get(placeOf(at));
    if (place === undefined) return;
    for (const key of place.kept.keys()) if (kind === undefined || key.endsWith(`\0${kind}`)) place.kept.delete(key);
    if (kind === undefined) place.about.clear();
  }

  #place(at: Pick<View, "tenant" | "server">): Place {
    const key = placeOf(at);
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place: Place = { kept: new Map(), about: new Map(), names: new Map() };
    const [oldest] = this.#places.size >= maxPlaces ? this.#places.keys() : [];
    if (oldest !== undefined) this.#places.delete(oldest);
    this.#places.set(key, place);
    return place;
  }

  #fetch(view: View, { kind, keys }: { kind: ListKind; keys: readonly [string, string] }, withPeer: WithPeer) {
    const { kept: all, names } = this.#place(view);
    const [shared, own] = keys;
    const kept: Kept = { listing: this.#ask(view, kind, withPeer), isSettled: false };
    keep(all, own, kept);
    kept.listing.then(
      ({ items, isPublic }) => {
        kept.isSettled = true;
        // A change that was told meanwhile has dropped it: what came may be older.
        if (all.get(own) !== kept) return;
        if (isPublic) keep(all, shared, kept);
        keep(names, isPublic ? shared : own, namesOf(items, kind));
      },
      () => (kept.isSettled = true),
    );
    return kept.listing;
  }

  async #ask(view: View, kind: ListKind, withPeer: WithPeer): Promise<Listing> {
    const { capabilities } = await this.about(view, withPeer);
    if (capabilities[listKinds[kind].capability] === undefined)
      return await this.#inspected(view, kind, { all: [], ttlMs: view.cacheMs, isPublic: false });
    return await this.#inspected(view, kind, await withPeer((peer) => fetchAll(peer, kind, view.cacheMs)));
  }

  async #inspected(view: View, kind: ListKind, { all, ttlMs, isPublic }: Fetched): Promise<Listing> {
    const inspected = await this.#inspect(view, kind, all);
    const keptMs = inspected?.isCertain === false ? Math.min(ttlMs, uncertainMs) : ttlMs;
    const fetchedAt = Date.now();
    const items = view.hashesOnly === true ? [] : all.filter((item) => !needsTask(item));
    return {
      items,
      fetchedAt,
      freshUntil: fetchedAt + keptMs,
      isPublic,
      ...(inspected && { hashes: inspected.hashes }),
    };
  }
}

/** Keeps one more; the oldest has to go where there are too many, of its own caller first. */
function keep<T>(all: Map<string, T>, key: string, value: T): void {
  all.delete(key);
  const identity = key.slice(0, key.indexOf("\0") + 1);
  const kind = key.slice(key.lastIndexOf("\0"));
  let [oldest] = all.size >= maxViews ? all.keys() : [];
  if (identity !== "\0") {
    const own = [...all.keys()].filter((other) => other.startsWith(identity) && other.endsWith(kind));
    if (own.length >= maxPerCaller) [oldest] = own;
  }
  if (oldest !== undefined) all.delete(oldest);
  all.set(key, value);
}

/** What lists are told apart by, and nothing else of them. */
function namesOf(items: readonly Members[], kind: ListKind): Members[] {
  const { member } = listKinds[kind];
  return items.map((item) => ({ [member]: item[member] }));
}

interface Fetched {
  readonly all: readonly Members[];
  readonly ttlMs: number;
  readonly isPublic: boolean;
}

/** Reads page after page; an upstream that leads in circles is stopped. */
async function fetchAll(peer: Peer, kind: ListKind, cacheMs: number): Promise<Fetched> {
  const sink = deafSink(AbortSignal.timeout(30_000));
  const all: Members[] = [];
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
    all.push(...listed.filter((item): item is Members => isObject(item)));
    if (all.length > maxItems) throw new Fault("upstream_failed", "the upstream lists more than can be kept");
    if (typeof result["ttlMs"] === "number") ttlMs = Math.min(ttlMs, Math.max(0, result["ttlMs"]));
    isPublic &&= result["cacheScope"] === "public";
    const next = result["nextCursor"];
    if (typeof next !== "string" || seen.has(next)) return { all, ttlMs, isPublic };
    seen.add(next);
    cursor = next;
  }
  throw new Fault("upstream_failed", `the upstream's list has more than ${maxPages} pages`);
}

/** A tool that runs as a task alone cannot be called where tasks are not carried (MCP 2025-11-25, Tasks). */
function needsTask({ execution }: Members): boolean {
  return isObject(execution) && execution["taskSupport"] === "required";
}

function placeOf({ tenant, server }: Pick<View, "tenant" | "server">): string {
  return `${tenant}\0${server}`;
}

function keyOf({ identity, url, shown }: View, kind: ListKind | undefined): string {
  return `${identity}\0${url}\0${shown}\0${kind ?? "about"}`;
}
