import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface DatabaseAddress {
  readonly databaseUrl: string | undefined;
  /** Data directory of a running `sluice up`, which writes `run.json` there. */
  readonly dataDir: string;
  /** What a local instance is asked for: what calls said takes another login. */
  readonly asks?: "trail" | "content";
}

/** Where the audit trail is, and whether that is a local instance's. */
export interface Where {
  readonly url: string;
  readonly isLocal: boolean;
}

/** @throws Error that says what to do */
export async function whereOf({ databaseUrl, dataDir, asks = "trail" }: DatabaseAddress): Promise<Where> {
  if (databaseUrl !== undefined && databaseUrl !== "") return { url: databaseUrl, isLocal: false };
  const file = join(dataDir, "run.json");
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw new Error(`${file} can't be read (${error.code})`, { cause: error });
    throw new Error(
      `no running Sluice found in ${dataDir}. Start one with: npm start. Or set DATABASE_URL, or give its directory with --data`,
    );
  });
  const run = JSON.parse(text) as Readonly<Record<string, unknown>>;
  // These logins may do what reading takes, and nothing else.
  const url = run[asks === "content" ? "contentReaderDatabaseUrl" : "readerDatabaseUrl"] ?? run["databaseUrl"];
  if (typeof url !== "string")
    throw new Error(`${file} names no databaseUrl. Start Sluice anew with: npm start. Or set DATABASE_URL`);
  return { url, isLocal: true };
}
