/** The URI as servers that parse it see it (https://url.spec.whatwg.org): case and dot segments resolved. */
export function canonicalUri(uri: string): string | undefined {
  return URL.canParse(uri) ? new URL(uri).href : undefined;
}

/**
 * What servers may take a URI for: as it is written, parsed, and parsed after its percent-escapes were read, each once.
 * The written form comes first.
 */
export function spellingsOf(uri: string): string[] {
  const canonical = canonicalUri(uri);
  if (canonical === undefined) return [uri];
  return [...new Set([uri, canonical, unescaped(canonical)])];
}

function unescaped(canonical: string): string {
  if (!canonical.includes("%")) return canonical;
  try {
    return canonicalUri(decodeURIComponent(canonical)) ?? canonical;
  } catch {
    return canonical;
  }
}
