import { expect, test } from "vitest";
import { checkpointOf, makeKey, makeTrail, naiveRoot, type MadeEntry } from "./made-trail.ts";
import { proofOf } from "./merkle.ts";
import { BadNote, readKey } from "./note.ts";
import { readProofs, writeProof } from "./proof.ts";

const key = makeKey();
const acme = makeTrail({ _gateway: 3, acme: 37 }).get("acme") as MadeEntry[];
const leaves = acme.map(({ hash }) => Buffer.from(hash, "hex"));
const { note } = checkpointOf(acme, key);

async function proofFor(index: number): Promise<string> {
  const proof = await proofOf({ index, size: acme.length }, async (height, at) =>
    naiveRoot(leaves.slice(at * 2 ** height, (at + 1) * 2 ** height)),
  );
  return writeProof(acme[index] as never, proof, note);
}

test("a proof shows its event to who has the key, and two of them in one file show both", async () => {
  const text = (await proofFor(5)) + (await proofFor(36));
  expect(text).toMatch(
    /^c2sp\.org\/tlog-proof@v1\nextra [^\n]+\nindex 5\n(?:[A-Za-z0-9+/]{43}=\n)+\nsluice\.test\/acme\n37\n/,
  );
  const proofs = readProofs(text, [readKey(key.vkey)]);
  expect(proofs.map(({ ok, index, size, shown }) => [ok, index, size, shown])).toEqual([
    [true, 5, 37, "signed"],
    [true, 36, 37, "signed"],
  ]);
  expect(readProofs(text, []).map(({ shown }) => shown)).toEqual(["consistent", "consistent"]);
});

test.each([
  ["another place", (text: string) => text.replace("index 5", "index 6")],
  ["another size", (text: string) => text.replace("\n37\n", "\n38\n")],
  ["another log", (text: string) => text.replace("sluice.test/acme", "sluice.test/beta")],
  ["a hash less", (text: string) => text.replace(/(\nindex 5)\n[^\n]+/, "$1")],
  [
    "another event",
    (text: string) => text.replace(/extra [^\n]+/, `extra ${Buffer.from(JSON.stringify(acme[6])).toString("base64")}`),
  ],
  [
    "a changed event",
    (text: string) => {
      const changed = { ...acme[5], event: { ...acme[5]?.event, bytes: 1_000_000 } };
      return text.replace(/extra [^\n]+/, `extra ${Buffer.from(JSON.stringify(changed)).toString("base64")}`);
    },
  ],
])("%s is no proof", async (_, mutate) => {
  const [proof] = readProofs(mutate(await proofFor(5)), [readKey(key.vkey)]);
  expect(proof?.ok).toBe(false);
});

test("another key's signature is none, and what is no proof is told so", async () => {
  const text = await proofFor(5);
  expect(readProofs(text, [readKey(makeKey().vkey)])[0]?.ok).toBe(false);
  for (const wrong of [
    "",
    "x",
    text.slice(5),
    text.replace(/extra [^\n]+\n/, ""),
    text.replace(/extra [^\n]+/, "extra e30="),
  ])
    expect(() => readProofs(wrong, [])).toThrow(BadNote);
});
