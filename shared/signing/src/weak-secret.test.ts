import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { weakSecretReason } from "./index.ts";

test.each([
  ["", "it is empty"],
  ["   ", "it is empty"],
  ["changeme", "it is a well-known default"],
  ["Change-Me-123", "it is a well-known default"],
  ["secret", "it is a well-known default"],
  ["password", "it is a well-known default"],
  ["default", "it is a well-known default"],
  ["test", "it is a well-known default"],
  ["test1234", "it is a well-known default"],
  ["changemechangemechangeme", "it is a well-known default"],
  ["change-me-in-production", "it is a well-known default"],
  ["your_super_secret_key", "it is a well-known default"],
  ["keyboard cat", "it is a well-known default"],
  ["a".repeat(64), "it repeats a single character"],
  ["0000", "it repeats a single character"],
  ["k3J9xQ2mZ7w", "it is shorter than 16 bytes"],
  ["ababababababababab", "it is made of fewer than 5 different characters"],
  ["1234567890123456", "it only counts"],
  ["0987654321098765", "it only counts"],
])("A4: %j is weak: %s", (secret, reason) => {
  expect(weakSecretReason(secret)).toBe(reason);
});

test("A4: random secrets pass in every usual encoding", () => {
  for (let i = 0; i < 500; i++) {
    for (const encoding of ["hex", "base64", "base64url"] as const) {
      expect(weakSecretReason(randomBytes(16).toString(encoding))).toBeUndefined();
    }
  }
  expect(weakSecretReason('!"§$%&/()=?`*+#-')).toBeUndefined();
});

test("A4: a reason never holds the secret", () => {
  expect(weakSecretReason("k3J9xQ2mZ7w")).not.toContain("k3J9");
});
