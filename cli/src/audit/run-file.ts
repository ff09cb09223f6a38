import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** What `sluice up` writes of itself into its data directory, as far as the trail is concerned. */
export interface RunFile {
  /** The owner's. */
  readonly databaseUrl: string;
  /** Of who may read the trail, and of who may read kept content too. */
  readonly readerDatabaseUrl: string;
  readonly contentReaderDatabaseUrl?: string;
  readonly services?: readonly { readonly name: string; readonly health: string }[];
}

/** @throws Error that says what to do */
export async function readRunFile(dataDir: string): Promise<RunFile> {
  const file = join(dataDir, "run.json");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw new Error(`${file} can't be read (${error.code})`, { cause: error });
    throw new Error(
      `no running Sluice found in ${dataDir}. Start one with: npm start. Or set DATABASE_URL, or give its directory with --data`,
    );
  });
  const run = JSON.parse(text) as RunFile;
  if (typeof run.readerDatabaseUrl !== "string")
    throw new Error(`${file} names no readerDatabaseUrl. Start Sluice anew with: npm start. Or set DATABASE_URL`);
  return run;
}
