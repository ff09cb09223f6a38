import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { makeNoteKey } from "@sluice/signing";

export interface KeygenFlags {
  readonly name: string;
  readonly out?: string;
}

/**
 * Makes a key for signer. The private one goes into the file, which must not be there yet and which its owner alone may read, or
 * is printed first; the verifier key, which is no secret, is printed.
 */
export async function keygen({ name, out }: KeygenFlags): Promise<void> {
  const { privateKey, verifierKey } = makeNoteKey(name);
  if (out !== undefined) {
    await mkdir(dirname(out), { recursive: true, mode: 0o700 });
    await writeFile(out, `${privateKey}\n`, { mode: 0o600, flag: "wx" });
  }
  process.stdout.write(out === undefined ? `${privateKey}\n${verifierKey}\n` : `${verifierKey}\n`);
}
