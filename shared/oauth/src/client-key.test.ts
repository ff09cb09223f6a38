import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readClientKey } from "./client-key.ts";

const reference = "${env:CLIENT_KEY}";
const pem = (key: KeyObject) => key.export({ type: "pkcs8", format: "pem" }).toString();
const jwk = (key: KeyObject, more = {}) => JSON.stringify({ ...key.export({ format: "jwk" }), ...more });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-384" });
const ed = generateKeyPairSync("ed25519");

function read(text: string, settings: Parameters<typeof readClientKey>[2] = {}) {
  return readClientKey(reference, text, settings);
}

describe("a private key", () => {
  test.each([
    ["RS256", pem(rsa.privateKey), {}],
    ["PS512", pem(rsa.privateKey), { algorithm: "PS512" }],
    ["ES384", pem(ec.privateKey), {}],
    ["EdDSA", pem(ed.privateKey), {}],
    ["Ed25519", jwk(ed.privateKey, { alg: "Ed25519" }), {}],
    ["PS256", jwk(rsa.privateKey, { alg: "PS256" }), {}],
    ["RS384", jwk(rsa.privateKey, { alg: "PS256" }), { algorithm: "RS384" }],
  ] as const)("signs with %s, as told, as its JWK says or as fits it", (algorithm, text, settings) => {
    expect(read(text, settings).algorithm).toBe(algorithm);
  });

  test("has the id that is configured, else that of its JWK, else none", () => {
    const text = jwk(ec.privateKey, { kid: "own" });
    expect(read(text, { keyId: "told" }).kid).toBe("told");
    expect(read(text).kid).toBe("own");
    expect(read(pem(ec.privateKey)).kid).toBe(undefined);
  });

  test.each([
    ["empty", ""],
    ["no key", "hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga"],
    ["a public PEM", rsa.publicKey.export({ type: "spki", format: "pem" }).toString()],
    ["a public JWK", jwk(ec.publicKey)],
    ["a symmetric JWK", JSON.stringify({ kty: "oct", k: "aE40d3E4WnIyTHg3VmI1VGs5WW0zUGQ2SmMxRnMwR2E" })],
    ["half a JWK", jwk(ec.privateKey).slice(0, 60)],
    [
      "encrypted",
      rsa.privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "p" }).toString(),
    ],
  ])("that is %s is refused by its reference alone", (_what, text) => {
    expect(() => read(text)).toThrow(`${reference}: is not a private key`);
    try {
      read(text);
    } catch (error) {
      if (text !== "") expect((error as Error).message).not.toContain(text.slice(20, 40));
    }
  });

  test("of a type that the algorithm is not for, or too short, is refused", () => {
    expect(() => read(pem(ec.privateKey), { algorithm: "ES256" })).toThrow("does not fit ES256");
    expect(() => read(pem(rsa.privateKey), { algorithm: "EdDSA" })).toThrow("does not fit EdDSA");
    expect(() => read(pem(generateKeyPairSync("x25519").privateKey))).toThrow("does not fit any algorithm");
    const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    expect(() => read(pem(short))).toThrow("at least 2048 bits");
  });
});
