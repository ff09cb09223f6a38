import { constants } from "node:fs";
import { mkdir, open, readdir, realpath, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { linesOf } from "./body.ts";
import { Away, reasonOf, type Batch, type Sink, type SinkContext, type SinkOf } from "./sink.ts";

const newline = 0x0a;
const indexDigits = 12;
/** A symbolic link in the place of the file is refused. */
const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
const mode = 0o640;
const dirMode = 0o750;

/**
 * Lines in `<AUDIT_FILE_DIR>/<log>/<path>`, on disk before the batch counts as taken. A full file is renamed to
 * `<path>.<index that the next one begins with>`; the oldest of them go. What a crash or a full disk left half written is cut off.
 */
export function fileSink(destination: SinkOf<"file">, { fileDir, log }: SinkContext): Sink {
  return {
    send: async (batch) => {
      if (fileDir === undefined) throw new Away("AUDIT_FILE_DIR is not set: the audit service writes no files");
      try {
        const path = await placeOf(fileDir, join(log, destination.path));
        await write(path, batch, destination);
      } catch (error) {
        throw new Away(reasonOf(error));
      }
    },
  };
}

/** The file's path, whose directory it makes. No link leads out of the directory for files. */
async function placeOf(fileDir: string, relative: string): Promise<string> {
  const base = await realpath(fileDir);
  const wanted = join(base, relative);
  await mkdir(dirname(wanted), { recursive: true, mode: dirMode });
  const directory = await realpath(dirname(wanted));
  if (!directory.startsWith(`${base}${sep}`)) throw new Away("its path leads out of AUDIT_FILE_DIR");
  return join(directory, basename(wanted));
}

async function write(path: string, batch: Batch, { maxBytes, maxFiles }: SinkOf<"file">): Promise<void> {
  const lines = Buffer.from(linesOf(batch.records));
  let file = await open(path, flags, mode);
  try {
    const size = await wholeLines(file);
    if (size > 0 && size + lines.length > maxBytes) {
      await file.close();
      await rename(path, `${path}.${String(batch.records[0].index).padStart(indexDigits, "0")}`);
      file = await open(path, flags, mode);
    }
    await append(file, lines);
  } finally {
    await file.close().catch(() => {});
  }
  await removeOldest(path, maxFiles);
  await syncDirectory(dirname(path));
}

/** All of it, or the file is as it was. */
async function append(file: FileHandle, lines: Buffer): Promise<void> {
  const { size } = await file.stat();
  try {
    for (let written = 0; written < lines.length;) {
      const { bytesWritten } = await file.write(lines, written, lines.length - written, size + written);
      written += bytesWritten;
    }
    await file.sync();
  } catch (error) {
    await file.truncate(size).catch(() => {});
    throw error;
  }
}

/** The size of the file, once a line that does not end is cut off. */
async function wholeLines(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const piece = Buffer.alloc(64 * 1024);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - piece.length);
    const { bytesRead } = await file.read(piece, 0, end - start, start);
    const last = piece.lastIndexOf(newline, bytesRead - 1);
    if (last !== -1 || start === 0) {
      const whole = start + last + 1;
      if (whole < size) await file.truncate(whole);
      return whole;
    }
    end = start;
  }
  return size;
}

/** The file itself counts among those that are kept. */
async function removeOldest(path: string, maxFiles: number): Promise<void> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  const full = (await readdir(directory)).filter(
    (name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)),
  );
  const spare = full.toSorted().slice(0, Math.max(0, full.length - (maxFiles - 1)));
  for (const name of spare) await unlink(join(directory, name));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
