/** RFC 9110 §7.6.1, and what each hop sets for itself. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The field that a message's `Connection` field is. */
type Connection = string | string[] | undefined;

/** Tells which fields of one message are for this hop only: the well-known ones, and those that its Connection field names. */
export function endsHere(connection: Connection): (name: string) => boolean {
  const named = namedIn(connection);
  return named.length === 0 ? (name) => hopByHop.has(name) : (name) => hopByHop.has(name) || named.includes(name);
}

function namedIn(connection: Connection): readonly string[] {
  if (connection === undefined || connection === "keep-alive" || connection === "close") return [];
  return String(connection)
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
}
