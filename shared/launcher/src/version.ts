/** The first "a.b" or "a.b.c" in what a server prints for --version; undefined where there is none. */
export function versionIn(text: string): string | undefined {
  return /\b[vV]?=?(\d+\.\d+(?:\.\d+)?)/.exec(text)?.[1];
}

/** Compares numerically, part by part: 2.10 is newer than 2.9. */
export function isAtLeast(version: string, minimum: string): boolean {
  const have = version.split(".").map(Number);
  const want = minimum.split(".").map(Number);
  for (let i = 0; i < want.length; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

export function major(version: string): number {
  return Number(version.split(".")[0]);
}
