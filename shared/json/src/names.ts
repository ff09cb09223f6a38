/** Only this many bytes of a name enter its hash, so that a hostile name costs no more than an honest one. */
export const hashedBytes = 64;

const ignorable = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{M}]/gu;

/** A member name where it stands in the document, between its quotes. */
export class NameSpan {
  start = 0;
  end = 0;
  hash = 0;
  ascii = true;
  /** The name as UTF-8 without escapes, where the document spells it with any. */
  decoded: Buffer | undefined = undefined;
}

/** Names that may not be written in any other way than exactly so. */
export interface Reserved {
  exact: ReadonlySet<string>;
  folded: ReadonlySet<string>;
  encoded: readonly Buffer[];
}

export function hashName(name: Uint8Array): number {
  const until = Math.min(name.length, hashedBytes);
  let hash = 0;
  for (let i = 0; i < until; i++) hash = hashByte(hash, name[i] as number);
  return hashEnd(hash, name.length);
}

export function hashByte(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0;
}

export function hashEnd(hash: number, length: number): number {
  return (Math.imul(hash, 31) + length) | 0;
}

export function nameText(bytes: Buffer, name: NameSpan): string {
  return name.decoded === undefined ? bytes.toString("utf8", name.start, name.end) : name.decoded.toString();
}

export function isName(bytes: Buffer, name: NameSpan, wanted: Buffer): boolean {
  if (name.decoded !== undefined) return name.decoded.equals(wanted);
  if (name.end - name.start !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (bytes[name.start + i] !== wanted[i]) return false;
  }
  return true;
}

/** One form for all spellings that some lenient reader may take for the same name. */
function foldName(name: string): string {
  const plain = name.normalize("NFKD").replace(ignorable, "").toUpperCase().toLowerCase();
  return plain.normalize("NFKD").replace(ignorable, "");
}

/** Reserved names are printable ASCII: the quick comparison of ASCII names relies on it. */
export function reserve(names: Iterable<string>): Reserved {
  const exact = new Set(names);
  for (const name of exact) {
    if (!/^[\x20-\x7e]+$/.test(name)) {
      throw new TypeError(`a reserved member name must be printable ASCII, not ${JSON.stringify(name)}`);
    }
  }
  return {
    exact,
    folded: new Set([...exact].map(foldName)),
    encoded: [...exact].map((name) => Buffer.from(name)),
  };
}

/** True when the name is a reserved one in disguise: other case, compatibility letters, invisible characters. */
export function shadows(reserved: Reserved, bytes: Buffer, name: NameSpan): boolean {
  if (name.ascii && name.decoded === undefined) return shadowsAscii(reserved, bytes, name);
  const decoded = nameText(bytes, name);
  return !reserved.exact.has(decoded) && reserved.folded.has(foldName(decoded));
}

function shadowsAscii(reserved: Reserved, bytes: Buffer, name: NameSpan): boolean {
  const { encoded } = reserved;
  let variant = false;
  for (let i = 0; i < encoded.length; i++) {
    const candidate = encoded[i] as Buffer;
    if (candidate.length !== name.end - name.start || !sameIgnoringCase(bytes, name, candidate)) continue;
    if (isName(bytes, name, candidate)) return false;
    variant = true;
  }
  return variant;
}

function sameIgnoringCase(bytes: Buffer, name: NameSpan, candidate: Buffer): boolean {
  for (let i = 0; i < candidate.length; i++) {
    if (lower(bytes[name.start + i] as number) !== lower(candidate[i] as number)) return false;
  }
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
