import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serviceNames, type ServiceName } from "@sluice/contracts";

/** Secrets of one local instance, made at random at its first start. */
export interface HouseState {
  readonly natsPasswords: Readonly<Record<ServiceName, string>>;
  readonly adminToken: string;
  /** Of push notifications: what webhooks are encrypted with, and what handles are signed with. */
  readonly pushEncryptionKey: string;
  readonly pushSigningKey: string;
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
    natsPasswords: Object.fromEntries(serviceNames.map((name) => [name, secret()])) as Record<ServiceName, string>,
    adminToken: secret(),
    pushEncryptionKey: secret(),
    pushSigningKey: secret(),
  };
  if (Object.keys(made).every((name) => name in kept)) return kept as HouseState;
  const state = { ...made, ...kept };
  await writeFile(file, JSON.stringify(state, null, 2), { mode: 0o600 });
  return state;
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}
