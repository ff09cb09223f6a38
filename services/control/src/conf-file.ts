import { randomBytes } from "node:crypto";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Fault } from "@sluice/contracts";

const ownerWritesAllRead = 0o644;
const refusedSuffix = ".refused";

/**
 * Puts a text in the place of the file at one moment: whoever reads finds the old one or the new one. A link stays what it is.
 * @throws Fault `conflict` where the file can't be written here, as with a ConfigMap
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  try {
    await write(await realpath(file).catch(() => file), text);
  } catch (error) {
    throw notWritable(file, error);
  }
}

/** Keeps a text beside the file under a name of its own, and says where. @throws Fault `conflict` as `replaceFile` does */
export async function keepCopy(file: string, text: string): Promise<string> {
  const time = new Date().toISOString().replaceAll(":", "-");
  const copy = `${file}.${time}${refusedSuffix}`;
  await replaceFile(copy, text);
  return copy;
}

async function write(file: string, text: string): Promise<void> {
  const mode = await stat(file).then(
    (found) => found.mode & 0o777,
    () => ownerWritesAllRead,
  );
  const fresh = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}`);
  try {
    await using handle = await open(fresh, "wx", mode);
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => {});
    throw error;
  }
}

function notWritable(file: string, error: unknown): Fault {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown";
  const message = `${file} can't be written here (${code}): get the text with sluice conf show VERSION, put it where this file comes from, such as its ConfigMap or repository, and it is in force as soon as it arrives`;
  return new Fault("conflict", message, { details: { code }, cause: error });
}
