import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serviceNames, type ServiceName } from "@sluice/contracts";
import { makeNoteKey, type NoteKey } from "@sluice/signing";
import { databaseUsers, type DatabaseUser } from "./databases.ts";

/** Secrets of one local instance, made at random at its first start. */
export interface HouseState {
  readonly natsPasswords: Readonly<Record<ServiceName, string>>;
  readonly databasePasswords: Readonly<Record<DatabaseUser, string>>;
  /** Tells this instance's logins from others' on a Postgres that several use. */
  readonly databaseMark: string;
  readonly adminToken: string;
  /** Of push notifications: what webhooks are encrypted with, and what handles are signed with. */
  readonly pushEncryptionKey: string;
  readonly pushSigningKey: string;
  /** What the passwords of auditors on the bus are made of. */
  readonly auditorSecret: string;
  /** What the audit trail's trees are signed with. */
  readonly signerKey: NoteKey;
}

/** Reads the secrets of a data directory, or makes them; only the owner may read the file. */
export async function loadState(dataDir: string): Promise<HouseState> {
  const file = join(dataDir, "state.json");
  await mkdir(dataDir, { recursive: true });
  let kept: Partial<HouseState> = {};
  try {
    kept = JSON.parse(await readFile(file, "utf8")) as Partial<HouseState>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const made: HouseState = {
    natsPasswords: secretsOf(serviceNames, kept.natsPasswords),
    databasePasswords: secretsOf(databaseUsers, kept.databasePasswords),
    databaseMark: randomBytes(4).toString("hex"),
    adminToken: secret(),
    pushEncryptionKey: secret(),
    pushSigningKey: secret(),
    auditorSecret: secret(),
    signerKey: kept.signerKey ?? makeNoteKey(`sluice.local/${randomBytes(4).toString("hex")}`),
  };
  const state = { ...made, ...kept, natsPasswords: made.natsPasswords, databasePasswords: made.databasePasswords };
  const text = JSON.stringify(state, null, 2);
  if (text !== JSON.stringify(kept, null, 2)) await writeFile(file, text, { mode: 0o600 });
  return state;
}

/** What is kept of them, and new ones for whom there is none yet. */
function secretsOf<Name extends string>(
  names: readonly Name[],
  kept: Readonly<Record<string, string>> = {},
): Record<Name, string> {
  return Object.fromEntries(names.map((name) => [name, kept[name] ?? secret()])) as Record<Name, string>;
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}
