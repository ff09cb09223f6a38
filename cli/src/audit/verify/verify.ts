import type pg from "pg";
import { checkBeside } from "./beside.ts";
import { Checkpoints, type Found } from "./checkpoints.ts";
import { DatabaseSource } from "./database-source.ts";
import { ExportReader, type CheckpointLine } from "./export-source.ts";
import { addCheckpointFile } from "./inputs.ts";
import { BadNote, readKey, type NoteKey } from "./note.ts";
import { Problems } from "./problem.ts";
import type { Outcome, Trust } from "./report.ts";
import { TrailSnapshot, type Row } from "./trail-database.ts";
import { Verification } from "./verification.ts";

export interface Given {
  /** Whose signatures count. */
  readonly keys: readonly NoteKey[];
  /** Whether a log that none of them signed is wrong; else it is only said. */
  readonly mustBeSigned: boolean;
  /** Files with checkpoints that were kept elsewhere. */
  readonly files: readonly string[];
  /** The only log that is asked for. */
  readonly log: string | undefined;
  /** Is told how many entries were read. */
  readonly onProgress: (log: string, entries: number) => void;
}

/** @throws Error where it can't be told */
export async function verifyDatabase(
  { keys, mustBeSigned, files, log: only, onProgress }: Given,
  client: pg.ClientBase,
): Promise<Outcome> {
  await using snapshot = await TrailSnapshot.of(client);
  const problems = new Problems();
  const checkpoints = new Checkpoints(keys, problems);
  for await (const batch of snapshot.batches({ text: storedCheckpoints, values: [only ?? null] }))
    for (const row of batch) checkpoints.add(foundOf(row));
  const warnings = await addFiles(checkpoints, files);
  const verification = new Verification({ problems, checkpoints, mustBeSigned, onProgress });
  const there = await snapshot.logs();
  const logs = only === undefined ? there : [only];
  for (const log of logs) await verification.verify(new DatabaseSource(log, snapshot, problems));
  for (const table of await checkBeside(snapshot, { problems, erasures: verification.erasures, log: only }))
    warnings.push(`${table} may not be read by this login: its values were not held against their commitments`);
  return outcomeOf({
    only,
    there,
    problems,
    verification,
    trust: keys.length > 0 ? "given" : "none",
    warnings,
    mayBeEmpty: only === undefined,
  });
}

const storedCheckpoints = `select log, size, encode(root, 'hex') as root, (extract(epoch from at) * 1000)::bigint as ms, note
  from audit_checkpoints where $1::text is null or log = $1 order by log, size`;

function foundOf({ log, size, root, ms, note }: Row): Found {
  return {
    log: log as string,
    size: size as number,
    root: root as string,
    at: ms as number,
    note: note as string,
    from: "audit_checkpoints",
    isOwn: true,
  };
}

/** @throws Error where it can't be told */
export async function verifyExport(
  { keys, mustBeSigned, files, log: only, onProgress }: Given,
  lines: AsyncIterator<string>,
): Promise<Outcome> {
  const problems = new Problems();
  const found: CheckpointLine[] = [];
  const sources = new ExportReader(lines, { problems, onCheckpoint: (line) => found.push(line) }).logs();
  let source = await sources.next();
  const believed = keys.length > 0 ? keys : claimedKeys(found, problems);
  const checkpoints = new Checkpoints(believed, problems);
  for (const { checkpoint } of found) checkpoints.add({ note: checkpoint, from: "the export", isOwn: true });
  const warnings = await addFiles(checkpoints, files);
  const there: string[] = [];
  const verification = new Verification({ problems, checkpoints, mustBeSigned, onProgress });
  for (; source.done !== true; source = await sources.next()) {
    there.push(source.value.log);
    if (only === undefined || source.value.log === only) await verification.verify(source.value);
    else for await (const _ of source.value.items());
  }
  if (there.length === 0 && found.length === 0 && problems.count > 0)
    throw new Error(
      `this is no verifiable export: ${problems.list()[0]?.text}. "sluice audit export" makes others too`,
    );
  const trust = keys.length > 0 ? "given" : believed.length > 0 ? "claimed" : "none";
  return outcomeOf({ only, there, problems, verification, trust, warnings });
}

async function addFiles(checkpoints: Checkpoints, files: readonly string[]): Promise<string[]> {
  const warnings: string[] = [];
  for (const file of files) warnings.push(...(await addCheckpointFile(checkpoints, file)));
  return warnings;
}

function claimedKeys(found: readonly CheckpointLine[], problems: Problems): NoteKey[] {
  const claimed = new Set(found.flatMap(({ key }) => key ?? []));
  return [...claimed].flatMap((key) => {
    try {
      return [readKey(key)];
    } catch (error) {
      if (!(error instanceof BadNote)) throw error;
      problems.add({ kind: "checkpoint", text: `the export names a key that is none: ${error.message}` });
      return [];
    }
  });
}

interface Done {
  readonly only: string | undefined;
  /** The logs that are there. */
  readonly there: readonly string[];
  readonly problems: Problems;
  readonly verification: Verification;
  readonly trust: Trust;
  readonly warnings: readonly string[];
  /** Of an instance that has told nothing yet there is nothing. */
  readonly mayBeEmpty?: boolean;
}

/** @throws Error where there was nothing to be told of */
function outcomeOf({ only, there, problems, verification, trust, warnings, mayBeEmpty = false }: Done): Outcome {
  const { logs, emitters, warnings: found } = verification.end(only);
  if (!mayBeEmpty && problems.count === 0 && logs.every(({ size }) => size === 0))
    throw new Error(
      only === undefined || there.length === 0
        ? "the export holds no events"
        : `nothing is there of a log ${only}: there are ${there.join(", ")}`,
    );
  const isSigned = logs.length > 0 && logs.every(({ checkpoint }) => checkpoint?.isVerified === true);
  return {
    ok: problems.count === 0,
    shown: isSigned && trust === "given" ? "signed" : "consistent",
    trust,
    logs,
    problems: problems.list(),
    problemCount: problems.count,
    warnings: [...warnings, ...found, ...(emitters?.warnings ?? [])],
    ...(emitters !== undefined && { emitters: { emitters: emitters.emitters, whole: emitters.whole } }),
  };
}
