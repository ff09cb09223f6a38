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
  const lines = await Promise.all(given.map(async (one) => (isKey(one) || isPrivate(one) ? [one] : keyLines(one))));
  return lines.flat().map((line) => {
    if (isPrivate(line))
      throw new Unreadable(
        "--key: that is the private key, which is the signer's alone: give the verifier key (<name>+<hash>+<Base64>) that sluice audit keygen printed",
      );
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

/** It must not come into a message either. */
function isPrivate(text: string): boolean {
  return text.trimStart().startsWith("PRIVATE+KEY+");
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

/**
 * Adds the checkpoints of a file: one signed note, or JSON lines (`Checkpoint`), gzip or not.
 * @returns warnings: of lines that are cut, as a crash of the signer leaves them
 * @throws Unreadable
 */
export async function addCheckpointFile(checkpoints: Checkpoints, file: string): Promise<string[]> {
  const note: string[] = [];
  let count = 0;
  let cut = 0;
  try {
    for await (const line of linesOf(file)) {
      if (note.length > 0 || (count + cut === 0 && !line.startsWith("{"))) note.push(line);
      else if (line !== "") {
        const found = foundOf(line, file);
        if (found === undefined) cut += 1;
        else {
          checkpoints.add(found);
          count += 1;
        }
      }
    }
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw new Unreadable(`--checkpoint: ${file} can't be read (${(error as Error).message})`, { cause: error });
  }
  if (note.some((line) => line !== "")) checkpoints.add({ note: `${note.join("\n")}\n`, from: file });
  else if (count === 0) throw new Unreadable(`--checkpoint: ${file} holds no checkpoint`);
  return cut === 0
    ? []
    : [
        `${file}: ${cut} line${cut === 1 ? " is" : "s are"} cut or no JSON, and count${cut === 1 ? "s" : ""} for nothing`,
      ];
}

/** Undefined where the line is no JSON. @throws Unreadable */
function foundOf(line: string, file: string): Found | undefined {
  const said = parsed(line);
  if (said === undefined) return undefined;
  const { log, size, root, at, note } = said;
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

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return Object(JSON.parse(line)) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
