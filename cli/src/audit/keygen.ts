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
  if (out !== undefined) await writeKey(out, `${privateKey}\n`);
  process.stdout.write(out === undefined ? `${privateKey}\n${verifierKey}\n` : `${verifierKey}\n`);
}

/** The directory too, where it is not there. @throws Error where the file is there already, or can't be written */
async function writeKey(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, text, { mode: 0o600, flag: "wx" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "EEXIST" ? "is there already: a key is never replaced" : `can't be written (${code})`;
    throw new Error(`${file} ${why}`, { cause: error });
  }
}
