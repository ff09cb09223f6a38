import { expect, test } from "vitest";
import { readSecretReference, secretReference } from "./secret-reference.ts";

test.each([
  ["${env:NAME_2}", "env", "NAME_2"],
  ["${file:/run/secrets/a b}", "file", "/run/secrets/a b"],
  ["${file:relative}", "file", "relative"],
  ["${vault:secret/data/acme#patterns}", "vault", "secret/data/acme#patterns"],
  ["${vault:kv/a.b/..c#a key}", "vault", "kv/a.b/..c#a key"],
])("%s is a reference", (text, kind, place) => {
  expect(readSecretReference(text)).toEqual({ kind, place });
  expect(secretReference.safeParse(text).success).toBe(true);
});

test.each([
  ["hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6", "must be a reference: ${env:NAME}, ${file:PATH} or ${vault:PATH#KEY}"],
  ["${aws:arn}", "must be a reference"],
  ["${constructor:x}", "must be a reference"],
  ["x${env:NAME}", "must be a reference"],
  ["${env:NAME}\n", "must be a reference"],
  ["${env:}", "${env:NAME} must name an environment variable"],
  ["${env:1+1}", "${env:NAME} must name an environment variable"],
  ["${file:}", "${file:PATH} must name a file"],
  ["${file:a\nb}", "${file:PATH} must name a file"],
  ["${vault:secret/data/acme}", "${vault:PATH#KEY} must name a path"],
  ["${vault:#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:/secret#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:secret//acme#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:secret/../sys/seal#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:..#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:secret?x=1#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:a%2fb#key}", "${vault:PATH#KEY} must name a path"],
  ["${vault:a#b#c}", "${vault:PATH#KEY} must name a path"],
])("%j is none, and is not repeated by the complaint", (text, complaint) => {
  expect(readSecretReference(text)).toContain(complaint);
  const refused = secretReference.safeParse(text);
  expect(refused.error?.issues.map(({ message }) => message)).toEqual([readSecretReference(text)]);
  expect(refused.error?.message).not.toContain(text);
});
