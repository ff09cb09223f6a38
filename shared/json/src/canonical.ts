interface RawJson {
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
}
const raw = JSON as unknown as RawJson;

/** Below it doubles are so far apart that few digits don't tell them. */
const smallestExact = 1e-300;

/** Only what is long or has an exponent can be a number that is not kept. */
const mayChange = /[-+\d.eE]{16}|\d[eE]/;

/** Parses JSON; a number that JavaScript would change is kept as it was written. @throws SyntaxError */
export function parseExact(text: string): unknown {
  return parse(text, (source) => raw.rawJSON(source));
}

/** Parses JSON; a number that JavaScript would change becomes a string of its digits. @throws SyntaxError */
export function parseDigits(text: string): unknown {
  return parse(text, (source) => source);
}

/** Whether `parseExact` made this of a number. */
export function isRawNumber(value: unknown): boolean {
  return raw.isRawJSON(value);
}

function parse(text: string, keep: (source: string) => unknown): unknown {
  if (!mayChange.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_name: string, value: unknown, { source }: { source?: string } = {}) =>
    typeof value !== "number" || source === undefined || isKept(value, source) ? value : keep(source),
  );
}

function isKept(value: number, source: string): boolean {
  const isShort = source.length < 16 && Number.isFinite(value);
  if (isShort && (Math.abs(value) > smallestExact || /^-?[0.]+(?:[eE]|$)/.test(source))) return true;
  return String(value) === source;
}

/**
 * JSON in one spelling (RFC 8785). A number outside of what a double holds, which that does not provide for, keeps the
 * spelling that `parseExact` left it, so that no two numbers become one.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (raw.isRawJSON(value)) return canonicalNumber(value.rawJSON);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  let members = "";
  for (const name of Object.keys(value).toSorted()) {
    const member = canonicalJson((value as Readonly<Record<string, unknown>>)[name]);
    members += `${members === "" ? "" : ","}${JSON.stringify(name)}:${member}`;
  }
  return `{${members}}`;
}

function canonicalNumber(source: string): string {
  const written = JSON.stringify(Number(source));
  return decimalOf(written) === decimalOf(source) ? written : source;
}

/** A decimal number's digits and power of ten, the same for every spelling of it. */
function decimalOf(source: string): string | undefined {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, "");
  if (whole === "") return undefined;
  const significant = digits.replace(/0+$/, "");
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return significant === "" ? "0" : `${sign}${significant}e${power}`;
}
