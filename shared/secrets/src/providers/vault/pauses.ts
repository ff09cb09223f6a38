const firstMs = 1_000;

/** How long to leave a server alone after this many failures in a row: from 1 s on, doubled, never exactly the same. */
export function pauseMs(failures: number, mostMs = 30_000): number {
  return spread(Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 16)));
}

/** About this long, so that replicas don't ask all at once. */
export function spread(ms: number): number {
  return ms * (0.9 + Math.random() * 0.2);
}
