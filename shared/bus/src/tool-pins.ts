import { Kvm, type KV } from "@nats-io/kv";
import {
  decodeJson,
  encodeJson,
  definitionsBucket,
  pinKey,
  pinsBucket,
  pinsMarker,
  seenKey,
  toolPinSchema,
  type ToolPin,
} from "@sluice/contracts";
import { followBucket } from "./kv-follow.ts";
import type { Bus } from "./bus.ts";
import { isLostRace } from "./lost-race.ts";

/** A server of a tenant. */
export interface ServerPlace {
  readonly tenant: string;
  readonly server: string;
}

/** A pin as it is kept; the revision tells which of two is the newer. */
export interface KeptPin {
  readonly revision: number;
  readonly pin: ToolPin;
}

export interface PinListener {
  /** Everything is read (again) from here on. */
  onBegin(): void;
  onPin(place: ServerPlace, kept: KeptPin): void;
  /** The server's tools were seen as a whole. */
  onSeen(place: ServerPlace): void;
}

/** Reads the pins of all tools and follows them. */
export async function watchToolPins(bus: Bus, listener: PinListener): Promise<AsyncDisposable> {
  return await followBucket(bus, {
    bucket: pinsBucket,
    key: "*.*.*",
    begin: () => {
      listener.onBegin();
      return {
        take: ({ key, value, operation, revision }) => {
          const [tenant = "", server = ""] = key.split(".");
          const place = { tenant, server };
          if (key === pinsMarker || operation !== "PUT") return true;
          if (key === seenKey(place)) listener.onSeen(place);
          else listener.onPin(place, { revision, pin: toolPinSchema.parse(decodeJson(value)) });
          return true;
        },
      };
    },
  });
}

/** Where control keeps pins, and the texts of definitions. */
export class ToolPinStore {
  readonly #pins: KV;
  readonly #texts: KV;

  private constructor(pins: KV, texts: KV) {
    this.#pins = pins;
    this.#texts = texts;
  }

  static async open(bus: Bus): Promise<ToolPinStore> {
    const kvm = new Kvm(bus.nats);
    return new ToolPinStore(await kvm.open(pinsBucket), await kvm.open(definitionsBucket));
  }

  async isSeen(place: ServerPlace): Promise<boolean> {
    return (await this.#pins.get(seenKey(place)))?.operation === "PUT";
  }

  async markSeen(place: ServerPlace): Promise<void> {
    await this.#pins.put(seenKey(place), encodeJson({ at: Date.now() }));
  }

  async get(place: ServerPlace, tool: string): Promise<KeptPin | undefined> {
    return await this.#read(pinKey(place, tool));
  }

  /** How many tools of a server have a pin. */
  async count(tenant: string, server: string): Promise<number> {
    let count = 0;
    for await (const key of await this.#pins.keys(`${tenant}.${server}.*`)) if (!key.endsWith("._")) count++;
    return count;
  }

  /** The pins of one server, or of all of a tenant's. */
  async all(tenant: string, server = "*"): Promise<{ server: string; pin: ToolPin }[]> {
    const keys: string[] = [];
    for await (const key of await this.#pins.keys(`${tenant}.${server}.*`)) keys.push(key);
    const pins: { server: string; pin: ToolPin }[] = [];
    for (let at = 0; at < keys.length; at += readsAtOnce) {
      const some = keys.slice(at, at + readsAtOnce).filter((key) => !key.endsWith("._"));
      const read = await Promise.all(some.map((key) => this.#read(key)));
      some.forEach((key, index) => {
        const kept = read[index];
        if (kept !== undefined) pins.push({ server: key.split(".")[1] ?? "", pin: kept.pin });
      });
    }
    return pins;
  }

  /** Replaces a pin where it still has this revision (none: there is none yet); undefined where it does not. */
  async replace(place: ServerPlace, pin: ToolPin, revision = 0): Promise<number | undefined> {
    try {
      return await this.#pins.put(pinKey(place, pin.tool), encodeJson(pin), { previousSeq: revision });
    } catch (error) {
      if (isLostRace(error)) return undefined;
      throw error;
    }
  }

  /** The gzipped text of a definition, where it is kept. */
  async text(place: ServerPlace, hash: string): Promise<Uint8Array | undefined> {
    const entry = await this.#texts.get(textKey(place, hash));
    return entry?.operation === "PUT" ? entry.value : undefined;
  }

  async keepText(place: ServerPlace, hash: string, gzipped: Uint8Array): Promise<void> {
    await this.#texts.put(textKey(place, hash), gzipped);
  }

  async dropText(place: ServerPlace, hash: string): Promise<void> {
    await this.#texts.purge(textKey(place, hash));
  }

  async #read(key: string): Promise<KeptPin | undefined> {
    const entry = await this.#pins.get(key);
    if (entry?.operation !== "PUT") return undefined;
    return { revision: entry.revision, pin: toolPinSchema.parse(decodeJson(entry.value)) };
  }
}

const readsAtOnce = 64;
function textKey({ tenant, server }: ServerPlace, hash: string): string {
  return `${tenant}.${server}.${hash}`;
}
