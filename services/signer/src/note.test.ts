import { expect, test } from "vitest";
import { BadKey, NoteSigner, openNote } from "./note.ts";

/** golang.org/x/mod/sumdb/note, note_test.go. */
const go = {
  key: "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
  verifierKey: "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
  text: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
  signature: "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
  other: "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
  otherLine: "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=",
};
const goNote = `${go.text}\n— PeterNeumann ${go.signature}\n`;

/** c2sp.org/signed-note, and the checkpoint of c2sp.org/tlog-checkpoint. */
const c2sp = {
  verifierKey: "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
  note: `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`,
};

test("A37: signs what Go's implementation signs, and tells the verifier key of a private one", () => {
  const signer = new NoteSigner(go.key);
  expect(signer.sign(go.text)).toBe(goNote);
  expect(signer.verifierKey).toBe(go.verifierKey);
});

test("A37: opens the published notes, also beside signatures of others, and with the right key only", () => {
  expect(openNote(c2sp.note, c2sp.verifierKey)).toBe("This is an example message.\n");
  expect(openNote(goNote, go.verifierKey)).toBe(go.text);
  expect(openNote(`${goNote}${go.otherLine}\n`, go.other)).toBe(go.text);
  expect(openNote(goNote, go.other)).toBeUndefined();
  expect(openNote(goNote, c2sp.verifierKey)).toBeUndefined();
});

test("A37: a note with one bit changed is not opened", () => {
  const bytes = Buffer.from(goNote);
  const opened = [...bytes].map((byte, index) => {
    const copy = Buffer.from(bytes);
    copy[index] = byte ^ 1;
    return openNote(copy.toString(), go.verifierKey);
  });
  expect(new Set(opened)).toEqual(new Set([undefined]));
});

test("a key that is cut, has another id or is of another kind is refused without a word of it", () => {
  const bad = [
    ...Array.from({ length: go.key.length }, (_, length) => go.key.slice(0, length)),
    go.key.replace("c74f20a3", "c74f20a4"),
    go.key.replace("Peter", "Petra"),
    go.key.replace("+AYEK", "+AoEK"),
    `${go.key}AAAA`,
  ];
  for (const key of bad) expect(() => new NoteSigner(key)).toThrow(BadKey);
  expect(() => openNote(goNote, "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")).toThrow(BadKey);
});
