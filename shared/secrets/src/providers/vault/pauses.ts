const firstMs = 1_000;
/** When a token or lease is renewed, as a part of its life. */
export const renewAfter = 0.66;
/** A renewal that gives less than this part of the first life is near the end of all it may have. */
export const tooLittle = 0.34;
/** Nothing is asked for again sooner. */
export const soonestMs = 500;

/** How long to leave a server alone after this many failures in a row: from 1 s on, doubled, never exactly the same. */
export function pauseMs(failures: number, mostMs = 30_000): number {
  return spread(Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 16)));
}

/** About this long, so that replicas don't ask all at once. */
export function spread(ms: number): number {
  return ms * (0.9 + Math.random() * 0.2);
}
