/** Why a document is refused; `offset` counts bytes from the start of the document. */
export interface ScanError {
  kind: ScanErrorKind;
  offset: number;
}

export type ScanErrorKind =
  | "invalid_utf8"
  | "byte_order_mark"
  | "invalid_json"
  | "lone_surrogate"
  | "too_deep"
  | "duplicate_key"
  | "ambiguous_key"
  | "token_too_long"
  | "too_many_items";

const explanations: Record<ScanErrorKind, string> = {
  invalid_utf8: "the body is not valid UTF-8; send JSON encoded as UTF-8",
  byte_order_mark: "the body starts with a byte order mark; send JSON without it",
  invalid_json: "the body is not valid JSON (RFC 8259); send exactly one JSON value",
  lone_surrogate: "a string holds half of a surrogate pair; send both halves or neither",
  too_deep: "objects or arrays are nested too deeply; send a flatter document",
  duplicate_key: "an object holds the same member name twice; send each name once",
  ambiguous_key: "a member name differs from a protocol name only in case or invisible characters; use the exact name",
  token_too_long: "a number or a name is too long; shorten it",
  too_many_items: "a list holds too many items; send fewer at a time",
};

/** One sentence for the sender: what is wrong and what to do. It quotes nothing from the document. */
export function explain(error: ScanError): string {
  return `${explanations[error.kind]} (byte ${error.offset})`;
}
