import { createHash } from "node:crypto";
import type { CallHead, Endpoint } from "@sluice/contracts";
import type { PageHashes } from "./definitions/relayed-tools.ts";
import { compile, raw, scan, type JsonRange } from "@sluice/json";

/** One page of a list as an upstream sent it. Times are Unix milliseconds. */
interface Kept {
  readonly bytes: Buffer;
  /** It came in an event stream, and goes on in one. */
  readonly inStream: boolean;
  readonly id: JsonRange;
  /** Where the answer says how long it may be kept. */
  readonly ttl: JsonRange | undefined;
  readonly freshUntil: number;
  /** Of its tools, once somebody has made them. */
  readonly hashes: PageHashes;
}

/** A page as it answers one call. */
export interface KeptPage extends Pick<Kept, "inStream" | "hashes"> {
  readonly bytes: Buffer;
}

interface Entry {
  /** Of the page, while it is being fetched and afterwards. */
  readonly page: PromiseWithResolvers<Kept | undefined>;
  freshUntil: number;
}

const asked = compile(
  [
    ["params", "cursor"],
    ["params", "_meta", "io.modelcontextprotocol/clientCapabilities"],
  ],
  [],
);
const introduced = compile(
  [
    ["params", "capabilities"],
    ["params", "protocolVersion"],
  ],
  [],
);

/** What of a client that introduces itself its upstream's lists may depend on; undefined for any other message. */
export function clientClassOf(initialize: Buffer): string | undefined {
  const seen = scan(initialize, introduced);
  if (!seen.ok) return undefined;
  const parts = seen.values.map((range) => (range === undefined ? "" : raw(initialize, range).toString()));
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}

const answered = compile([["id"], ["result"], ["result", "ttlMs"], ["result", "cacheScope"]], []);
const mostBytes = 128 * 1024 * 1024;
const mostEntries = 10_000;
/** How long a listing waits for another's that is under way. */
const joinMs = 5_000;

/** Who asks for which page. */
interface Keys {
  readonly own: string;
  readonly shared: string;
}

/**
 * Pages of lists, kept before policy filters them: for the upstream's own time to live or the endpoint's, for the caller
 * that asked, or for all where the upstream calls them public (MCP 2026-07-28, Caching).
 */
export class ListPages {
  readonly #entries = new Map<string, Entry>();
  /** The keys of each list of a server. */
  readonly #byList = new Map<string, Set<string>>();
  readonly #kept = new Map<Entry, number>();
  #bytes = 0;

  /** What is kept for this call; nothing for a call that is no listing, or where nothing is to be kept. */
  of(head: CallHead, endpoint: Endpoint, body: Buffer): ListPage | undefined {
    if (endpoint.listCacheSeconds === 0 || head.chunked !== undefined || head.rpcId === undefined) return undefined;
    const seen = scan(body, asked);
    if (!seen.ok) return undefined;
    const [cursor, capabilities] = seen.values.map((range) => (range === undefined ? "" : raw(body, range).toString()));
    const page = createHash("sha256")
      .update(JSON.stringify([cursor, capabilities, shownOf(head, endpoint)]))
      .digest("base64url");
    const version = head.headers["mcp-protocol-version"] ?? "";
    const list = listOf(head, head.method);
    const rest = `${endpoint.url}\0${version}\0${page}`;
    // A session whose client is not known any more has lists of its own.
    const whose = `${head.identity}\0${head.session?.clientClass ?? head.session?.id ?? ""}`;
    return new ListPage(this, {
      keys: { own: `${list}${whose}\0${rest}`, shared: `${list}\0\0${rest}` },
      rpcId: head.rpcId,
      cacheMs: endpoint.listCacheSeconds * 1000,
    });
  }

  /** A server says that its lists of these methods have changed. */
  drop(place: { tenant: string; server: string }, methods: readonly string[]): void {
    for (const method of methods) for (const key of this.#byList.get(listOf(place, method)) ?? []) this.#forget(key);
  }

  find({ own, shared }: Keys): Entry | undefined {
    for (const key of [shared, own]) {
      const entry = this.#entries.get(key);
      if (entry !== undefined && entry.freshUntil > Date.now()) return entry;
      this.#forget(key);
    }
    return undefined;
  }

  begin({ own }: Keys): Entry {
    const entry: Entry = { page: Promise.withResolvers(), freshUntil: Date.now() + joinMs };
    this.#set(own, entry);
    return entry;
  }

  keep(keys: Keys, entry: Entry, { kept, isPublic }: { kept: Kept; isPublic: boolean }): void {
    // A change that was told meanwhile has dropped the entry: what came may be older.
    if (this.#entries.get(keys.own) !== entry) return entry.page.resolve(undefined);
    entry.freshUntil = kept.freshUntil;
    if (isPublic) this.#set(keys.shared, entry);
    this.#kept.set(entry, kept.bytes.length);
    this.#bytes += kept.bytes.length;
    entry.page.resolve(kept);
    while (this.#bytes > mostBytes || this.#entries.size > mostEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest === undefined) return;
      this.#forget(oldest);
    }
  }

  abandon({ own }: Keys, entry: Entry): void {
    entry.page.resolve(undefined);
    if (this.#entries.get(own) === entry) this.#forget(own);
  }

  #set(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    const list = listOfKey(key);
    const keys = this.#byList.get(list) ?? new Set();
    this.#byList.set(list, keys.add(key));
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const list = listOfKey(key);
    const keys = this.#byList.get(list);
    keys?.delete(key);
    if (keys?.size === 0) this.#byList.delete(list);
    this.#bytes -= this.#kept.get(entry) ?? 0;
    this.#kept.delete(entry);
  }
}

/** What the keys of one list of a server begin with. */
function listOf({ tenant, server }: { tenant: string; server: string }, method: string): string {
  return `${tenant}\0${server}\0${method}\0`;
}

function listOfKey(key: string): string {
  return key.split("\0", 3).join("\0") + "\0";
}

/** The client's header fields that an upstream can tell callers by. */
function shownOf({ headers }: CallHead, { forwardHeaders }: Endpoint): (string | undefined)[] {
  return ["accept-language", ...forwardHeaders].map((name) => headers[name]);
}

interface ListPageOptions {
  readonly keys: Keys;
  readonly rpcId: string;
  readonly cacheMs: number;
}

/** The page that one call asks for. */
export class ListPage {
  readonly #pages: ListPages;
  readonly #options: ListPageOptions;
  #entry: Entry | undefined;

  constructor(pages: ListPages, options: ListPageOptions) {
    this.#pages = pages;
    this.#options = options;
  }

  /** The answer to this call, where it is kept or about to be; else this call is the one that fetches it. */
  async answer(): Promise<KeptPage | undefined> {
    const { keys, rpcId } = this.#options;
    const entry = this.#pages.find(keys);
    if (entry !== undefined) {
      const kept = await entry.page.promise;
      if (kept !== undefined) return { bytes: addressed(kept, rpcId), inStream: kept.inStream, hashes: kept.hashes };
    }
    this.#entry = this.#pages.begin(keys);
    return undefined;
  }

  /** Takes the answer that the upstream gave to this call. */
  take(bytes: Buffer, { inStream }: { inStream: boolean }): void {
    const entry = this.#entry;
    const seen = scan(bytes, answered);
    if (entry === undefined || !seen.ok) return;
    const [id, result, ttl, scope] = seen.values;
    if (id === undefined || result === undefined || raw(bytes, id).toString() !== this.#options.rpcId) return;
    const said = ttl?.kind === "number" ? Number(raw(bytes, ttl).toString()) : this.#options.cacheMs;
    const ttlMs = Math.min(said, this.#options.cacheMs);
    if (!(ttlMs > 0)) return;
    this.#entry = undefined;
    const isPublic = scope !== undefined && raw(bytes, scope).toString() === '"public"';
    const kept: Kept = { bytes: Buffer.from(bytes), inStream, id, ttl, freshUntil: Date.now() + ttlMs, hashes: {} };
    this.#pages.keep(this.#options.keys, entry, { kept, isPublic });
  }

  /** Nothing (more) will be taken: whoever waits fetches it himself. */
  done(): void {
    if (this.#entry !== undefined) this.#pages.abandon(this.#options.keys, this.#entry);
    this.#entry = undefined;
  }
}

/** The same answer to another request, with the time that is left of it. */
function addressed({ bytes, id, ttl, freshUntil }: Kept, rpcId: string): Buffer {
  const left = String(Math.max(0, freshUntil - Date.now()));
  const cuts = [{ range: id, text: rpcId }, ...(ttl === undefined ? [] : [{ range: ttl, text: left }])];
  cuts.sort((one, other) => one.range.start - other.range.start);
  const parts: Buffer[] = [];
  let at = 0;
  for (const { range, text } of cuts) {
    parts.push(bytes.subarray(at, range.start), Buffer.from(text));
    at = range.end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}
