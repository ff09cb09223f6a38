/** A refusal names what is allowed up to this size, so that the refusals of a whole batch fit one message. */
const maxAllowedBytes = 8_192;

/** Each pattern once, in order, as far as a refusal has room for. */
export function nameable(patterns: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const pattern of new Set(patterns)) {
    bytes += Buffer.byteLength(JSON.stringify(pattern)) + 1;
    if (bytes > maxAllowedBytes) break;
    kept.push(pattern);
  }
  return kept;
}
