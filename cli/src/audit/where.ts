import { readRunFile } from "./run-file.ts";

export interface DatabaseAddress {
  readonly databaseUrl: string | undefined;
  /** Data directory of a running `sluice up`, which writes `run.json` there. */
  readonly dataDir: string;
  /** What a local instance is asked for: what calls said takes another login. */
  readonly asks?: "trail" | "content";
}

/** Where the audit trail is, and whether that is a local instance's. */
export interface Where {
  readonly databaseUrl: string;
  readonly isLocal: boolean;
}

/** @throws Error that says what to do */
export async function whereOf({ databaseUrl, dataDir, asks = "trail" }: DatabaseAddress): Promise<Where> {
  if (databaseUrl !== undefined && databaseUrl !== "") return { databaseUrl, isLocal: false };
  const { readerDatabaseUrl, contentReaderDatabaseUrl = readerDatabaseUrl } = await readRunFile(dataDir);
  return { databaseUrl: asks === "content" ? contentReaderDatabaseUrl : readerDatabaseUrl, isLocal: true };
}
