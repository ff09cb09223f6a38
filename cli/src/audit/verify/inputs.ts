import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoints, Found } from "./checkpoints.ts";
import { linesOf } from "./export-source.ts";
import { readKey, type BadNote, type NoteKey } from "./note.ts";

/** What was given can't be read: nothing is known of the trail. */
class Unreadable extends Error {
  override readonly name = "Unreadable";
}

/** Each is a key as it is written, or a file with some, one to a line. @throws Unreadable */
export async function readKeys(given: readonly string[]): Promise<NoteKey[]> {
  const lines = await Promise.all(given.map(async (one) => (isKey(one) ? [one] : keyLines(one))));
  return lines.flat().map((line) => {
    try {
      return readKey(line);
    } catch (error) {
      throw new Unreadable((error as BadNote).message, { cause: error });
    }
  });
}

/** Of the signer of the local instance that lives in this directory; none where that can't be told. */
export async function localKeys(dataDir: string): Promise<NoteKey[]> {
  try {
    const state = JSON.parse(await readFile(join(dataDir, "state.json"), "utf8")) as {
      signerKey?: { verifierKey?: string };
    };
    const key = state.signerKey?.verifierKey;
    return key === undefined ? [] : [readKey(key)];
  } catch {
    return [];
  }
}

function isKey(text: string): boolean {
  return /^[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$/.test(text);
}

async function keyLines(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Unreadable(`--key: ${file} is no key and can't be read as a file (${error.code})`, { cause: error });
  });
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw new Unreadable(`--key: ${file} holds no key`);
  return lines;
}

/** Adds the checkpoints of a file: one signed note, or JSON lines (`Checkpoint`), gzip or not. @throws Unreadable */
export async function addCheckpointFile(checkpoints: Checkpoints, file: string): Promise<void> {
  const note: string[] = [];
  let count = 0;
  try {
    for await (const line of linesOf(file)) {
      if (note.length > 0 || !line.startsWith("{")) note.push(line);
      else {
        checkpoints.add(foundOf(line, file));
        count += 1;
      }
    }
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw new Unreadable(`--checkpoint: ${file} can't be read (${(error as Error).message})`, { cause: error });
  }
  if (note.some((line) => line !== "")) checkpoints.add({ note: `${note.join("\n")}\n`, from: file });
  else if (count === 0) throw new Unreadable(`--checkpoint: ${file} holds no checkpoint`);
}

function foundOf(line: string, file: string): Found {
  const { log, size, root, at, note } = parsed(line, file);
  if (typeof note !== "string") throw new Unreadable(`--checkpoint: a line of ${file} holds no note`);
  return {
    note,
    from: file,
    ...(typeof log === "string" && { log }),
    ...(typeof size === "number" && { size }),
    ...(typeof root === "string" && { root }),
    ...(typeof at === "number" && { at }),
  };
}

function parsed(line: string, file: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new Unreadable(`--checkpoint: a line of ${file} is no JSON`, { cause: error });
  }
}
