import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, open, rename, rm } from "node:fs/promises";
import { dirname, join, basename } from "node:path";
import type { TrailRow } from "@sluice/contracts";

export interface Output {
  /** Resolves once there is room for more. */
  write(data: string | Uint8Array): Promise<void>;
}

/** Writes rows, a chunk at a time. */
export type Encode = (rows: AsyncIterable<readonly TrailRow[]>, output: Output) => Promise<void>;

export interface OutputFile {
  /** `-` is standard output. */
  readonly file: string;
  /** Replaces what is there. */
  readonly force: boolean;
}

/**
 * Lets `work` write a file, which has its name only once it is whole and on disk; of one that fails nothing is left.
 * @throws Error where the file is there already
 */
export async function writeOutput({ file, force }: OutputFile, work: (output: Output) => Promise<void>): Promise<void> {
  if (file === "-") return work({ write: writeStdout });
  if (!force && (await isThere(file))) throw new Error(`${file} is there already: give --force to replace it`);
  const unfinished = join(dirname(file), `.${basename(file)}.${randomBytes(4).toString("hex")}.part`);
  const handle = await open(unfinished, "wx", ownerOnly).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file} can't be written (${error.code})`, { cause: error });
  });
  try {
    await work({
      write: async (data) => {
        await handle.writeFile(data);
      },
    });
    await handle.sync();
    await handle.close();
    await rename(unfinished, file);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(unfinished, { force: true });
    throw error;
  }
}

/** It says who did what. */
const ownerOnly = 0o600;

function isThere(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}

function writeStdout(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.once("error", reject);
    process.stdout.write(data, (error) => {
      // Where it failed, the event comes after this.
      if (error) return reject(error);
      process.stdout.removeListener("error", reject);
      resolve();
    });
  });
}
