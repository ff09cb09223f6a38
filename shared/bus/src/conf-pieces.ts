import { encodeHeadAndBody, decodeHeadAndBody, encodeJson, type SectionName, type Sections } from "@sluice/contracts";

/** Names the tenants of a version and how many pieces each has; a service changes over once it holds all of them. */
export const commitKey = "_";

export interface Commit {
  readonly version: number;
  readonly tenants: Readonly<Record<string, number>>;
}

/** The configuration of one service, tenant by tenant, kept up to date. */
export type SectionMap<Name extends SectionName> = ReadonlyMap<string, Sections[Name]>;

/** Everything that control cuts out of one configuration. */
export type AllSections = { readonly [Name in SectionName]: SectionMap<Name> };

/** A value is a message, and NATS carries no message above 1 MiB unless told to. */
const pieceBytes = 512 * 1024;
const mostPieces = 64;
const noBytes = Buffer.alloc(0);

/** What a tenant's section may have, as JSON; and the list of all tenants. */
export const sectionBounds = { sectionBytes: pieceBytes * mostPieces, tenantsBytes: pieceBytes } as const;

/** The keys and values that hold one section. No tenant's name has an underscore. */
export function piecesOf(tenant: string, section: { readonly version: number }): [key: string, value: Uint8Array][] {
  const bytes = encodeJson(section);
  return Array.from({ length: Math.max(1, Math.ceil(bytes.length / pieceBytes)) }, (_, number) => [
    `${tenant}_${number}`,
    encodeHeadAndBody({ version: section.version }, bytes.subarray(number * pieceBytes, (number + 1) * pieceBytes)),
  ]);
}

export function versionOf(piece: Uint8Array): number | undefined {
  try {
    return decodeHeadAndBody<{ version: number }>(piece).head.version;
  } catch {
    return undefined;
  }
}

/** A part of the configuration that is too large to be published. */
export interface Oversize {
  /** Undefined for the list of tenants itself. */
  readonly tenant: string | undefined;
  readonly section: string;
  readonly bytes: number;
  readonly limit: number;
}

export function oversized(sections: AllSections): Oversize[] {
  const found: Oversize[] = [];
  for (const [section, tenants] of Object.entries(sections)) {
    const { sectionBytes, tenantsBytes } = sectionBounds;
    for (const [tenant, value] of tenants) {
      const bytes = encodeJson(value).length;
      if (bytes > sectionBytes) found.push({ tenant, section, bytes, limit: sectionBytes });
    }
    const bytes = encodeJson(Object.fromEntries([...tenants.keys()].map((tenant) => [tenant, mostPieces]))).length;
    if (bytes > tenantsBytes) found.push({ tenant: undefined, section, bytes, limit: tenantsBytes });
  }
  return found;
}

/** The pieces that a service has heard of, of any version. */
export class HeldPieces {
  readonly #pieces = new Map<string, Uint8Array>();

  put(key: string, value: Uint8Array): void {
    this.#pieces.set(key, value);
  }

  delete(key: string): void {
    this.#pieces.delete(key);
  }

  /** The JSON of each tenant's section, where every piece of the version is here; they are let go of then. */
  take({ version, tenants }: Commit): Map<string, Buffer> | undefined {
    const whole = new Map<string, Buffer>();
    const keys: string[] = [];
    for (const [tenant, count] of Object.entries(tenants)) {
      const parts: Buffer[] = [];
      for (let number = 0; number < count; number++) {
        const key = `${tenant}_${number}`;
        const { head, body } = decodeHeadAndBody<{ version: number }>(this.#pieces.get(key) ?? nothing);
        if (head.version !== version) return undefined;
        parts.push(body);
        keys.push(key);
      }
      whole.set(tenant, parts.length === 1 ? (parts[0] ?? noBytes) : Buffer.concat(parts));
    }
    for (const key of keys) this.#pieces.delete(key);
    return whole;
  }
}

const nothing = encodeHeadAndBody({}, noBytes);
