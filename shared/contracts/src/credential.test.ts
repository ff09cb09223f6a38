import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { credentialText, isCredentialText } from "./credential.ts";

const text = credentialText("key", "00112233445566ff", randomBytes(32));

it("a key can be told by its prefix, its id and its checksum, and one character changed or lost is seen", () => {
  expect(text).toMatch(/^slk_00112233445566ff_[A-Za-z0-9_-]{49}$/);
  expect(isCredentialText("key", text)).toBe(true);
  expect(isCredentialText("token", text)).toBe(false);
  expect(isCredentialText("key", `${text}x`)).toBe(false);
  for (let at = 4; at < text.length; at++) {
    const other = text[at] === "a" ? "b" : "a";
    expect(isCredentialText("key", text.slice(0, at) + other + text.slice(at + 1)), `at ${at}`).toBe(false);
    expect(isCredentialText("key", text.slice(0, at) + text.slice(at + 1)), `without ${at}`).toBe(false);
  }
});
