import type { Bus, ServerPlace } from "@sluice/bus";
import { Fault, isApproved, longestTarget, type ToolDefinitions } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { Definition } from "./definition.ts";
import { observe } from "./observations.ts";
import type { PinBook } from "./pin-book.ts";

export interface ToolGateOptions {
  readonly bus: Pick<Bus, "ask">;
  readonly log: Log;
  readonly book: PinBook;
  readonly modeOf: (place: ServerPlace) => ToolDefinitions;
}

/** By tool, the hashes of the definitions that a server shows. */
export type Hashes = ReadonlyMap<string, readonly string[]>;

/** What was looked at of a list of tools. */
export interface Inspected {
  readonly hashes: Hashes;
  /** Control could not be asked about some of them: they are out of use until it is asked again. */
  readonly isCertain: boolean;
}

/** A server's tools as one caller sees them. */
export interface ListedTools {
  readonly hashes?: Hashes;
  /** Unix milliseconds. */
  readonly fetchedAt: number;
}

/** A list this fresh is not fetched again for a tool that it lacks. */
const relistMs = 2_000;
/** How long control may take; and to record all of a server that nothing is known of. */
const askMs = 2_000;
const firstAskMs = 10_000;
/** Control that could not be asked is not asked again for so long. */
const restMs = 5_000;

/** Keeps out of use what a server shows and nobody approved. Where an endpoint has no pins, nothing is looked at. */
export class ToolGate {
  readonly #options: ToolGateOptions;
  #restsUntil = 0;
  /** By server, what it was seen to show last. */
  readonly #latest = new Map<string, Hashes>();

  constructor(options: ToolGateOptions) {
    this.#options = options;
  }

  /** Whether the definitions of this server are looked at. */
  watches(place: ServerPlace): boolean {
    return this.#options.modeOf(place) !== "off";
  }

  /** Whether what is not approved is out of use. */
  enforces(place: ServerPlace): boolean {
    const mode = this.#options.modeOf(place);
    return mode === "pinned" || mode === "approved";
  }

  /** Whether it is known what the server had at first sight. */
  isSeen(place: ServerPlace): boolean {
    return this.#options.book.isSeen(place);
  }

  /** Puts on record what is new. @param isWhole the server has no other tools @throws Fault `unavailable` at first sight alone */
  async inspect(at: ServerPlace, shown: readonly Definition[], { isWhole }: { isWhole: boolean }): Promise<Inspected> {
    const place = { tenant: at.tenant, server: at.server };
    const { book, bus, log, modeOf } = this.#options;
    // What has such a name cannot be called.
    const definitions = shown.filter(({ tool }) => tool.length <= longestTarget);
    const hashes = this.#shared(place, hashesOf(definitions));
    const fresh = definitions.filter(({ tool, hash }) => isApproved(book.find(place, tool), hash) === undefined);
    if (fresh.length === 0 && (!isWhole || book.isSeen(place))) return { hashes, isCertain: true };
    const isSeen = book.isSeen(place);
    if (isSeen && performance.now() < this.#restsUntil) return { hashes, isCertain: false };
    const trustsFirstSight = modeOf(place) !== "approved";
    const timeoutMs = isSeen ? askMs : firstAskMs;
    try {
      await observe({ bus, book }, place, { definitions: fresh, isWhole, trustsFirstSight, timeoutMs });
      this.#restsUntil = 0;
      return { hashes, isCertain: true };
    } catch (error) {
      this.#restsUntil = performance.now() + restMs;
      log.warn({ ...place, error: describeError(error) }, "definitions of tools could not be put on record");
      if (!book.isSeen(place)) throw unchecked(error);
      return { hashes, isCertain: false };
    }
  }

  /** Most callers see the same: what each of them sees is kept once. */
  #shared(place: ServerPlace, hashes: Hashes): Hashes {
    const key = `${place.tenant}\0${place.server}`;
    const latest = this.#latest.get(key);
    const isSame =
      latest?.size === hashes.size && [...hashes].every(([tool, of]) => latest.get(tool)?.join() === of.join());
    if (isSame) return latest;
    this.#latest.set(key, hashes);
    return hashes;
  }

  /** Whether a tool may be shown with these definitions. */
  shows(place: ServerPlace, tool: string, hashes: readonly string[] | undefined): boolean {
    if (!this.enforces(place)) return true;
    const pin = this.#options.book.find(place, tool);
    return hashes !== undefined && hashes.every((hash) => isApproved(pin, hash) === true);
  }

  /**
   * Gives back the hash of the definition under which a tool may be called.
   * @param list what the server lists to the caller, newly where asked
   * @throws Fault `tool_quarantined` where it may not, `unavailable` where that cannot be known
   */
  async requireUsable(
    place: ServerPlace,
    tool: string,
    list: (isAnew: boolean) => Promise<ListedTools>,
  ): Promise<string | undefined> {
    let listed = await list(false);
    if (listed.hashes?.has(tool) !== true && Date.now() - listed.fetchedAt > relistMs) listed = await list(true);
    const hashes = listed.hashes?.get(tool);
    const [first] = hashes ?? [];
    if (this.shows(place, tool, hashes)) return first;
    const pin = this.#options.book.find(place, tool);
    if (hashes === undefined) throw quarantined(tool, "is not listed by its server");
    if (pin === undefined) throw unchecked();
    throw quarantined(tool, pin.definitions.length > 1 ? "has changed and waits for approval" : "waits for approval");
  }
}

function hashesOf(definitions: readonly Definition[]): Hashes {
  const hashes = new Map<string, string[]>();
  for (const { tool, hash } of definitions) {
    const known = hashes.get(tool);
    if (known === undefined) hashes.set(tool, [hash]);
    else if (!known.includes(hash)) known.push(hash);
  }
  return hashes;
}

function quarantined(tool: string, why: string): Fault {
  return new Fault("tool_quarantined", `The tool '${tool}' is in quarantine: its definition ${why}`, {
    details: { tool },
  });
}

function unchecked(cause?: unknown): Fault {
  return new Fault("unavailable", "the tools' definitions could not be checked", { cause });
}
