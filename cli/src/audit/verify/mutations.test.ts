import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Checkpoint } from "@sluice/contracts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { linesOf } from "./export-source.ts";
import { checkpointOf, commit, linesFor, makeKey, makeTrail, rehash, signNote, type MadeEntry } from "./made-trail.ts";
import { flipAt, placesOf } from "./flip.ts";
import { forgetting, forgotten } from "./made-erasure.ts";
import { readKey } from "./note.ts";
import type { Outcome } from "./report.ts";
import { verifyExport } from "./verify.ts";

const key = makeKey();
const trail = makeTrail({ _gateway: 40, acme: 700 });
const acme = trail.get("acme") as MadeEntry[];
const gateway = trail.get("_gateway") as MadeEntry[];
const checkpoints = [
  ...[10, 40].map((size) => checkpointOf(gateway.slice(0, size), key)),
  ...[256, 500, 650].map((size) => checkpointOf(acme.slice(0, size), key)),
];
const signed = 650;
let directory: string;
let files = 0;

beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), "sluice-verify-"))));
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Given {
  readonly files?: readonly string[];
  readonly key?: string | null;
  readonly log?: string;
}

async function verifyLines(lines: readonly string[], given: Given = {}): Promise<Outcome> {
  const keys = given.key === null ? [] : [readKey(given.key ?? key.vkey)];
  async function* all() {
    yield* lines;
  }
  return verifyExport(
    { keys, mustBeSigned: keys.length > 0, files: given.files ?? [], log: given.log, onProgress: () => {} },
    all(),
  );
}

/** An export in which the entries of acme are others. */
function withAcme(entries: readonly object[], heads: readonly Checkpoint[] = checkpoints): string[] {
  return linesFor(new Map<string, readonly object[]>([...trail, ["acme", entries]]), heads, key);
}

function changed(index: number, change: (entry: MadeEntry) => void): MadeEntry[] {
  const entries = structuredClone(acme);
  change(entries[index] as MadeEntry);
  return entries;
}

/** The first problem that names an event. */
function firstOf({ problems }: Outcome) {
  return problems.find(({ log, index }) => log === "acme" && index !== undefined);
}

async function file(text: string | Buffer): Promise<string> {
  const path = join(directory, `${(files += 1)}`);
  await writeFile(path, text);
  return path;
}

describe("an export that is as it was signed", () => {
  test("is found so, with what is covered and what is not", async () => {
    const outcome = await verifyLines(withAcme(acme));
    expect(outcome).toMatchObject({ ok: true, shown: "signed", trust: "given", problems: [], warnings: [] });
    expect(outcome.emitters).toEqual({ emitters: 1, whole: 1 });
    expect(outcome.logs).toMatchObject([
      { log: "_gateway", size: 40, pruned: 0, checkpoint: { size: 40, isVerified: true } },
      { log: "acme", size: 700, pruned: 0, checkpoint: { size: signed, isVerified: true } },
    ]);
  });

  test("is found so compressed, and against checkpoints that were kept elsewhere", async () => {
    const compressed = await file(gzipSync(`${withAcme(acme, []).join("\n")}\n`));
    const lines = await file(checkpoints.map((one) => `${JSON.stringify(one)}\n`).join(""));
    const note = await file((checkpoints[4] as Checkpoint).note);
    const given = {
      keys: [readKey(key.vkey)],
      mustBeSigned: true,
      files: [lines, note],
      log: undefined,
      onProgress: () => {},
    };
    expect(await verifyExport(given, linesOf(compressed))).toMatchObject({ ok: true, shown: "signed" });
  });

  test("shows inner consistency only, without a key or with the one it names itself", async () => {
    expect(await verifyLines(withAcme(acme), { key: null })).toMatchObject({
      ok: true,
      shown: "consistent",
      trust: "claimed",
    });
    expect(await verifyLines(withAcme(acme, []), { key: null })).toMatchObject({
      ok: true,
      shown: "consistent",
      trust: "none",
    });
  });

  test("stays so where a person is forgotten, which an action says", async () => {
    const trail = forgetting();
    const all = trail.get("acme") as MadeEntry[];
    const heads = [...trail.values()].map((entries) => checkpointOf(entries, key));
    const entries = all.map((entry) => {
      const { agent_id: _, ...event } = entry.event;
      if (entry.event["agent_id"] !== forgotten) return entry;
      return {
        ...entry,
        event,
        sealed: {
          ...entry.sealed,
          agent_id: {
            commitment: commit(
              "agent_id",
              entry.event["agent_id"],
              Buffer.from(entry.sealed["agent_id"]?.salt as string, "hex"),
            ),
          },
        },
      };
    });
    expect(await verifyLines(linesFor(new Map([...trail, ["acme", entries]]), heads, key))).toMatchObject({
      ok: true,
      shown: "signed",
    });
    const untold = await verifyLines(linesFor(new Map([...trail, ["acme", entries.slice(0, -1)]]), [], key), {
      key: null,
    });
    expect(untold.problems.map(({ kind }) => kind)).toContain("erasure");
  });

  test("of one log is checked alone, and its emitters are not", async () => {
    const outcome = await verifyLines(withAcme(acme), { log: "acme" });
    expect(outcome).toMatchObject({ ok: true, logs: [{ log: "acme" }] });
    expect(outcome.emitters).toBeUndefined();
  });
});

describe("a change of any field is found where it is", () => {
  const kinds = [
    ["intent", acme.findIndex(({ event }) => event["kind"] === "intent" && Number(event["seq"]) > 340)],
    ["outcome", acme.findIndex(({ event }) => event["kind"] === "outcome" && Number(event["seq"]) > 340)],
  ] as const;
  const cases = kinds.flatMap(([kind, index]) =>
    placesOf(acme[index]).map((path) => [kind, path.join("."), index, path] as const),
  );

  test.each(cases)("of an %s: %s", async (_kind, _name, index, path) => {
    const outcome = await verifyLines(withAcme(changed(index, (entry) => flipAt(entry, path))));
    expect(outcome.ok).toBe(false);
    expect(firstOf(outcome)).toMatchObject({ log: "acme", index });
  });

  test.each(cases)("of an %s: %s, taken out", async (_kind, _name, index, path) => {
    const remove = (entry: MadeEntry) => {
      const holder = path
        .slice(0, -1)
        .reduce((at, name) => at[name] as never, entry as unknown as Record<string, unknown>);
      if (Array.isArray(holder)) holder.splice(Number(path.at(-1)), 1);
      else delete holder[path.at(-1) as string];
    };
    const outcome = await verifyLines(withAcme(changed(index, remove)));
    // Whoever tells no hash hides only where it is; the order of the list stays.
    if (path.join(".") === "hash") expect(outcome.ok).toBe(true);
    else expect([outcome.ok, firstOf(outcome)?.index]).toEqual([false, index]);
  });

  test.each(kinds)("of an %s: a field that it did not have", async (_kind, index) => {
    for (const change of [
      (entry: MadeEntry) => (entry.event["fault"] = "made-up"),
      (entry: MadeEntry) => (entry.event["fault"] = null),
      (entry: MadeEntry) => (entry.sealed["peer"] = { commitment: "00".repeat(32) }),
      (entry: MadeEntry) => Object.assign(entry, { note: "more" }),
    ]) {
      const outcome = await verifyLines(withAcme(changed(index, change)));
      expect([outcome.ok, firstOf(outcome)?.index]).toEqual([false, index]);
    }
  });

  test("in every byte of its line", async () => {
    const index = 1;
    const small = makeTrail({ _gateway: 2, acme: 3 });
    const heads = [...small.values()].map((entries) => checkpointOf(entries, key));
    const lines = linesFor(small, heads, key);
    const at = lines.findIndex((line) => line.startsWith(`{"log":"acme","index":${index},`));
    const line = lines[at] as string;
    expect(line).toContain(`"kind":"intent"`);
    for (let byte = 0; byte < Buffer.byteLength(line); byte += 1) {
      const bytes = Buffer.from(line);
      bytes[byte] = (bytes[byte] as number) ^ (1 << (byte % 7));
      const text = bytes.toString().replaceAll("\n", " ");
      if (isSame(text, line)) continue;
      const outcome = await verifyLines(lines.with(at, text));
      expect([byte, outcome.ok, firstOf(outcome)?.index]).toEqual([byte, false, index]);
    }
  });

  test("where others would read it in another way", async () => {
    const lines = withAcme(acme);
    const at = lines.findIndex((line) => line.startsWith(`{"log":"acme","index":341,`));
    const line = lines[at] as string;
    const deep = line.replace(`"event":{`, `"event":{"a":${"[".repeat(100_000)}${"]".repeat(100_000)},`);
    const digits = line.replace(/"bytes":(\d+)/, '"bytes":$1.00000000000000000001');
    for (const other of [deep, digits]) {
      expect(other).not.toBe(line);
      expect(firstOf(await verifyLines(lines.with(at, other)))).toMatchObject({ index: 341, kind: "malformed" });
    }
    const twice = (lines[at] as string).replace(`"bytes":`, `"bytes":999,"bytes":`);
    expect(firstOf(await verifyLines(lines.with(at, twice)))).toMatchObject({ index: 341 });
  });
});

/** Another spelling of the same JSON. */
function isSame(text: string, line: string): boolean {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(JSON.parse(line));
  } catch {
    return false;
  }
}

describe("lines are found out that are", () => {
  const cases: [string, (entries: MadeEntry[]) => MadeEntry[], object][] = [
    ["deleted", (all) => all.toSpliced(300, 1), { index: 300, kind: "missing" }],
    ["deleted at the front", (all) => all.slice(1), { index: 0, kind: "missing" }],
    ["deleted before a checkpoint", (all) => all.toSpliced(255, 1), { index: 255, kind: "missing" }],
    ["cut off the front", (all) => all.slice(256), { index: 0, last: 255, kind: "missing" }],
    ["cut off the end", (all) => all.slice(0, 600), { index: 600, last: signed - 1, kind: "cut" }],
    [
      "swapped",
      (all) => all.with(300, all[400] as MadeEntry).with(400, all[300] as MadeEntry),
      { index: 300, last: 399, kind: "order" },
    ],
    [
      "swapped with the next",
      (all) => all.with(300, all[301] as MadeEntry).with(301, all[300] as MadeEntry),
      { index: 300, kind: "order" },
    ],
    ["put in twice", (all) => all.toSpliced(301, 0, all[300] as MadeEntry), { index: 300, kind: "duplicate" }],
    ["put in twice, later", (all) => all.toSpliced(600, 0, all[300] as MadeEntry), { index: 600, kind: "duplicate" }],
    ["of another log", (all) => all.with(300, gateway[5] as MadeEntry), { index: 300, kind: "foreign" }],
    [
      "of another log, named anew",
      (all) => all.with(300, { ...(gateway[5] as MadeEntry), log: "acme", index: 300 }),
      { index: 300, kind: "foreign" },
    ],
    [
      "of another event",
      (all) => all.with(300, { ...(all[299] as MadeEntry), index: 300, hash: (all[300] as MadeEntry).hash }),
      { index: 300 },
    ],
    [
      "swapped, with their places",
      (all) =>
        all.with(300, { ...(all[400] as MadeEntry), index: 300 }).with(400, { ...(all[300] as MadeEntry), index: 400 }),
      { index: 256, last: 499, kind: "root" },
    ],
  ];

  test.each(cases)("%s", async (_name, mutate, expected) => {
    const outcome = await verifyLines(withAcme(mutate([...acme])));
    expect(outcome.ok).toBe(false);
    expect(firstOf(outcome)).toMatchObject(expected);
  });

  test("cut off behind the last checkpoint, as far as their emitter says how many there were", async () => {
    const outcome = await verifyLines(withAcme(acme.slice(0, 690)));
    expect(outcome.problems).toMatchObject([
      { kind: "lost", text: expect.stringContaining("10 numbers (7") as string },
    ]);
  });

  test("gone with their whole log", async () => {
    const lines = linesFor(new Map([["_gateway", gateway]]), checkpoints, key);
    expect(firstOf(await verifyLines(lines))).toMatchObject({ kind: "cut", index: 0, last: signed - 1 });
  });
});

describe("who makes the tree anew is found out:", () => {
  const forged = changed(300, ({ event }) => (event["target"] = "another"));
  const rechained = forged.map(rehash);

  test("without the key, between the checkpoints that hold", async () => {
    const outcome = await verifyLines(withAcme(rechained));
    expect(outcome.problems).toMatchObject([{ kind: "root", log: "acme", index: 256, last: 499 }]);
  });

  test("with a key of his own", async () => {
    const own = makeKey();
    const heads = [256, 500, 650].map((size) => checkpointOf(rechained.slice(0, size), own));
    const outcome = await verifyLines(linesFor(new Map([...trail, ["acme", rechained]]), heads, own));
    expect(
      outcome.problems.filter(({ kind }) => kind === "signature" || kind === "unknown-key").map(({ log }) => log),
    ).toEqual(["acme", "acme", "acme"]);
    expect(outcome.problems).toContainEqual(expect.objectContaining({ kind: "unsigned", log: "acme", index: 0 }));
  });

  test("with a signature of another checkpoint, or of another log", async () => {
    const [, , , , newest] = checkpoints as [Checkpoint, Checkpoint, Checkpoint, Checkpoint, Checkpoint];
    const body = (checkpointOf(rechained.slice(0, 650), key).note.split("\n\n")[0] ?? "") + "\n";
    const stolen = { ...newest, note: `${body}\n${newest.note.slice(newest.note.indexOf("\u2014"))}` };
    const outcome = await verifyLines(withAcme(rechained, [...checkpoints.slice(0, 2), stolen]));
    expect(outcome.problems).toContainEqual(expect.objectContaining({ kind: "signature", log: "acme" }));
    const renamed = { ...newest, note: signNote(newest.note.split("\n\n")[0]?.replace("acme", "beta") + "\n", key) };
    expect(await verifyLines(withAcme(acme, [...checkpoints, renamed]))).toMatchObject({
      ok: false,
      problems: [{ log: "beta", kind: "cut" }],
    });
  });

  test("by cutting an export where no checkpoint ends, or where its own checkpoint lies beyond", async () => {
    const kept = await file(`${JSON.stringify(checkpoints[4])}\n`);
    const cut = (size: number, heads: number) =>
      verifyLines(linesFor(new Map([...trail, ["acme", acme.slice(0, size)]]), checkpoints.slice(0, heads), key), {
        files: [kept],
      });
    const expected = { kind: "cut", last: signed - 1, text: expect.stringContaining("2026-11-21") as string };
    expect(firstOf(await cut(501, 4))).toMatchObject({ ...expected, index: 501 });
    expect(firstOf(await cut(500, 5))).toMatchObject({ ...expected, index: 500 });
    expect(firstOf(await cut(500, 3))).toMatchObject({ ...expected, index: 500 });
  });

  test("or warned of, where an older export is whole up to its own checkpoint", async () => {
    const kept = await file(`${JSON.stringify(checkpoints[4])}\n`);
    const older = linesFor(new Map([...trail, ["acme", acme.slice(0, 500)]]), checkpoints.slice(0, 4), key);
    const { problems, warnings } = await verifyLines(older, { files: [kept], log: "acme" });
    expect([problems, warnings]).toEqual([[], [expect.stringContaining("made earlier, or is cut behind event 499")]]);
  });

  test("with two checkpoints of one size", async () => {
    const second = checkpointOf(rechained.slice(0, 650), key);
    const outcome = await verifyLines(withAcme(acme, [...checkpoints, second]));
    expect(outcome.problems).toMatchObject([{ kind: "root", log: "acme" }]);
  });

  test("without any checkpoint, where the key is known", async () => {
    expect((await verifyLines(withAcme(acme, []))).problems).toMatchObject([
      { kind: "unsigned" },
      { kind: "unsigned" },
    ]);
  });
});

describe("what retention removed", () => {
  const told = (): Map<string, MadeEntry[]> => {
    const with40 = structuredClone(acme);
    Object.assign((with40[699] as MadeEntry).event, {
      kind: "action",
      action: "audit.retention",
      result: "done",
      subject: "0-255",
    });
    return new Map([...trail, ["acme", with40.map(rehash)]]);
  };
  const entries = told().get("acme") as MadeEntry[];
  const heads = [
    ...checkpoints.slice(0, 2),
    ...[256, 500, 650, 700].map((size) => checkpointOf(entries.slice(0, size), key)),
  ];
  const pruned = (count: number) =>
    entries.map(({ log, index, hash, ...rest }) =>
      index < count ? { log, index, hash } : { log, index, hash, ...rest },
    );

  test("counts by its hashes", async () => {
    const outcome = await verifyLines(withAcme(pruned(256), heads));
    expect(outcome).toMatchObject({ ok: true, shown: "signed" });
    expect(outcome.logs[1]).toMatchObject({ size: 700, pruned: 256 });
    expect(outcome.warnings).toEqual([expect.stringContaining("256 numbers")]);
  });

  test.each([
    [
      "a hash that was changed",
      (all: object[]) => all.with(7, { log: "acme", index: 7, hash: "00".repeat(32) }),
      { kind: "root", index: 0, last: 255 },
    ],
    ["no whole tile", () => pruned(200), { kind: "missing", index: 0, last: 199 }],
    [
      "an event in the middle",
      (all: object[]) => all.with(300, { log: "acme", index: 300, hash: entries[300]?.hash }),
      { kind: "missing", index: 300 },
    ],
    ["an event behind it", (all: object[]) => all.toSpliced(698, 1), { kind: "missing", index: 698 }],
  ] as const)("is not %s", async (_name, mutate, expected) => {
    expect(firstOf(await verifyLines(withAcme(mutate(pruned(256)), heads)))).toMatchObject(expected);
  });

  test("is told by an action, or it was somebody else", async () => {
    const cut = acme.map(({ log, index, hash, ...rest }) => ({ log, index, hash, ...(index < 256 ? {} : rest) }));
    expect(firstOf(await verifyLines(withAcme(cut)))).toMatchObject({ kind: "retention", index: 0, last: 255 });
  });
});
