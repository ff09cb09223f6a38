import { Fault } from "@sluice/contracts";
import type { Upstream } from "../upstreams.ts";
import { isModernRefusal, metaPrefix, modernVersion } from "./modern-peer.ts";
import { gatewayInfo } from "./own-words.ts";
import { objectOf, parseJson, RequestRefused, resultOf, RpcError } from "./rpc.ts";
import { HttpRefusal, send, type Line } from "./wire.ts";

/** What an upstream speaks: the modern era (perhaps the legacy one too), the legacy one alone, or its old transport alone. */
export type Speaks = "modern" | "legacy" | "sse";

const keptMs = 5 * 60_000;
/** Between two looks at an upstream that refuses in a way that may mean another era. */
const lookAgainMs = 5_000;
const probeMs = 15_000;

interface Known {
  readonly speaks: Promise<Speaks>;
  /** What that came to. */
  settled?: Speaks;
  readonly until: number;
}

/** Finds out the era of each upstream, once in a while (MCP 2026-07-28, Streamable HTTP, Backward Compatibility). */
export class Eras {
  readonly #known = new Map<string, Known>();
  /** Upstreams that were seen to refuse the legacy era. */
  readonly #modernOnly = new Map<string, number>();
  readonly #looks = new Map<string, { changed: Promise<boolean>; isOver: boolean; next: number }>();

  /** @throws Fault where the upstream gives no answer at all. */
  of(line: Line): Promise<Speaks> {
    const { era } = line.upstream.endpoint;
    if (era !== "auto") return Promise.resolve(era);
    const key = keyOf(line.upstream, line.head.tenant);
    const known = this.#current(key);
    if (known !== undefined) return known.speaks;
    const found: Known = { speaks: probe(line), until: Date.now() + keptMs };
    this.#known.set(key, found);
    found.speaks.then(
      (speaks) => (found.settled = speaks),
      () => this.#known.delete(key),
    );
    return found.speaks;
  }

  /** What is known of an upstream already, for the way of every call: nothing is waited for. */
  seen(upstream: Upstream, tenant: string): Speaks | undefined {
    const { era } = upstream.endpoint;
    if (era !== "auto") return era;
    return this.#current(keyOf(upstream, tenant))?.settled;
  }

  /** What is known without asking. */
  isModernOnly(upstream: Upstream, tenant: string): boolean {
    if (upstream.endpoint.era === "modern") return true;
    return (this.#modernOnly.get(keyOf(upstream, tenant)) ?? 0) > Date.now();
  }

  isOldTransport(upstream: Upstream): boolean {
    return upstream.endpoint.era === "sse";
  }

  learnModernOnly(upstream: Upstream, tenant: string): void {
    this.#modernOnly.set(keyOf(upstream, tenant), Date.now() + keptMs);
    this.#known.set(keyOf(upstream, tenant), learned("modern"));
  }

  learn(line: Line, speaks: Speaks): void {
    this.#known.set(keyOf(line.upstream, line.head.tenant), learned(speaks));
  }

  /**
   * Runs what depends on the era. Where the upstream refuses it and turns out to speak another era by now, it is run once
   * more: what was refused so was not done.
   */
  async heeding<T>(line: Line, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!mayMeanOtherEra(error) || !(await this.hasChanged(line))) throw error;
      return await work();
    }
  }

  /** Whether an upstream that refused a call speaks another era by now; asked of it once in a while at most. */
  async hasChanged(line: Line): Promise<boolean> {
    if (line.upstream.endpoint.era !== "auto") return false;
    const key = keyOf(line.upstream, line.head.tenant);
    const last = this.#looks.get(key);
    if (last?.isOver === false) return await last.changed;
    if (last !== undefined && last.next > Date.now()) return false;
    const look = { changed: this.#look(line, key), isOver: false, next: Date.now() + lookAgainMs };
    this.#looks.set(key, look);
    return await look.changed.finally(() => (look.isOver = true));
  }

  #current(key: string): Known | undefined {
    const known = this.#known.get(key);
    return known !== undefined && known.until > Date.now() ? known : undefined;
  }

  async #look(line: Line, key: string): Promise<boolean> {
    const before = await this.#known.get(key)?.speaks.catch(() => undefined);
    this.#known.delete(key);
    try {
      const now = await this.of(line);
      if (now !== "modern") this.#modernOnly.delete(key);
      return before !== undefined && (now === "modern") !== (before === "modern");
    } catch {
      return false;
    }
  }
}

function learned(speaks: Speaks): Known {
  return { speaks: Promise.resolve(speaks), settled: speaks, until: Date.now() + keptMs };
}

function keyOf({ endpoint }: Upstream, tenant: string): string {
  return `${tenant}\0${endpoint.name}\0${endpoint.url}`;
}

async function probe(line: Line): Promise<Speaks> {
  const meta = {
    [`${metaPrefix}protocolVersion`]: modernVersion,
    [`${metaPrefix}clientInfo`]: gatewayInfo,
    [`${metaPrefix}clientCapabilities`]: {},
  };
  const received = await send(line, {
    http: "POST",
    message: { jsonrpc: "2.0", id: "sluice-probe", method: "server/discover", params: { _meta: meta } },
    headers: {
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": modernVersion,
      "mcp-method": "server/discover",
    },
    signal: AbortSignal.timeout(probeMs),
  });
  if (received.status >= 500 || received.status === 429) {
    received.drop();
    throw new HttpRefusal(received.status);
  }
  try {
    for await (const message of received.messages()) {
      if (message.method !== undefined) continue;
      const versions = resultOf(message)["supportedVersions"];
      return Array.isArray(versions) && versions.some((version) => version >= modernVersion) ? "modern" : "legacy";
    }
  } catch (error) {
    if (error instanceof RpcError) return isModernRefusal(error) ? "modern" : "legacy";
    if (!(error instanceof HttpRefusal)) throw error;
    if (error.status === 401 || error.status === 403) throw error;
  } finally {
    received.drop();
  }
  return "legacy";
}

export function unusable(server: string): Fault {
  return new Fault("upstream_failed", `the server ${server} is not usable: see the log of egress`);
}

/** Whether what an upstream answers to a legacy message says that it speaks the modern era alone. */
export function refusesLegacy(body: Buffer): boolean {
  try {
    const code = objectOf(objectOf(parseJson(body))["error"])["code"];
    return code === -32020 || code === -32021 || code === -32022;
  } catch {
    return false;
  }
}

/** Whether an upstream may have refused a call for its era alone; it did nothing then. */
function mayMeanOtherEra(error: unknown): boolean {
  if (error instanceof HttpRefusal) return [400, 404, 405, 406].includes(error.status);
  return isModernRefusal(error) || error instanceof RequestRefused;
}
