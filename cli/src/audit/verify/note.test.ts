import { describe, expect, test } from "vitest";
import { makeKey, signNote } from "./made-trail.ts";
import { BadNote, readCheckpoint, readKey, signatureOf } from "./note.ts";

/** Of the documentation of golang.org/x/mod/sumdb/note. */
const published = {
  key: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
  note: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
};
const root = Buffer.alloc(32, 7).toString("base64");
const text = `sluice.test/acme\n12\n${root}\n`;

describe("a signed note", () => {
  test("that was published is signed by the key that was published", () => {
    const key = readKey(published.key);
    expect(signatureOf(published.note, [key])).toBe("signed");
    expect(signatureOf(published.note.replace("your", "my"), [key])).toBe("bad signature");
    expect(signatureOf(published.note, [readKey(makeKey("PeterNeumann").vkey)])).toBe("unknown key");
  });

  test("of several signatures counts if no known key's is wrong", () => {
    const [one, other, third] = [makeKey("one"), makeKey("other"), makeKey("third")];
    const line = (of: typeof one) => signNote(text, of).slice(text.length + 1);
    const note = `${text}\n${line(other)}${line(one)}`;
    expect(signatureOf(note, [readKey(one.vkey)])).toBe("signed");
    expect(signatureOf(note, [readKey(third.vkey)])).toBe("unknown key");
    const forged = `${text}\n${line(one)}${signNote(`x${text}`, other).slice(text.length + 2)}`;
    expect(signatureOf(forged, [readKey(one.vkey), readKey(other.vkey)])).toBe("bad signature");
    expect(signatureOf(note, [])).toBe("unknown key");
  });

  test.each([
    ["no signature", text],
    ["no end of the last line", signNote(text, makeKey()).slice(0, -1)],
    ["a signature that is none", `${text}\n\u2014 name\n`],
    ["a control character", signNote(`a\tb\n12\n${root}\n`, makeKey())],
  ])("with %s is none", (_, note) => {
    expect(() => signatureOf(note, [])).toThrow(BadNote);
  });
});

describe("a checkpoint", () => {
  const read = (body: string) => readCheckpoint(signNote(body, makeKey()));

  test("says origin, size and root", () => {
    expect(read(text)).toEqual({ origin: "sluice.test/acme", size: 12, root: Buffer.alloc(32, 7) });
    expect(read(`${text}more\n`)).toMatchObject({ size: 12 });
  });

  test.each([
    `sluice.test/acme\n012\n${root}\n`,
    `sluice.test/acme\n-1\n${root}\n`,
    `\n12\n${root}\n`,
    `sluice.test/acme\n12\n${root.slice(0, -1)}\n`,
    `sluice.test/acme\n12\n${Buffer.alloc(31).toString("base64")}\n`,
    `sluice.test/acme\n12\n`,
    `${text}\nmore\n`,
  ])("is not this: %j", (body) => {
    expect(() => read(body)).toThrow(BadNote);
  });
});

test.each(["", "name", "a+b+c", published.key.replace("c74f20a3", "c74f20a4"), `${published.key.slice(0, -4)}AAAA`])(
  "%j is no key",
  (key) => {
    expect(() => readKey(key)).toThrow(BadNote);
  },
);
