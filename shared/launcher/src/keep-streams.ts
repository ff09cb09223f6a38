import { rename } from "node:fs/promises";
import { join } from "node:path";

/** Streams of an earlier Sluice, whose services had no account of their own, become those of that account. */
export async function keepStreams(natsDir: string): Promise<void> {
  const store = join(natsDir, "jetstream", "jetstream");
  await rename(join(store, "$G"), join(store, "SLUICE")).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(error.code ?? "")) throw error;
  });
}
