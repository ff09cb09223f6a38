import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSigner, WeakSecretError, type SignedRequest, type SignerOptions, type SigningMode } from "./index.ts";

interface Vector extends Omit<SignerOptions, "clock" | "nonce"> {
  title: string;
  request: SignedRequest;
  timestampS: string;
  nonce?: string;
  contentSha256?: string;
  canonical: string;
  signature: string;
}

const file = readFileSync(new URL("../vectors.json", import.meta.url), "utf8");
const { vectors } = JSON.parse(file) as { vectors: Vector[] };
const secret = "b7f0c1d2938475a6e5f40312";

function openssl(input: string, ...options: string[]): string {
  return execFileSync("openssl", ["dgst", "-sha256", ...options, "-r"], { input, encoding: "utf8" }).split(" ")[0]!;
}

describe("A33: signatures equal those of openssl", () => {
  test.each(vectors)("A33: $mode, $title", ({ mode, keyId, secret, request, timestampS, nonce = "", ...expected }) => {
    const clock = () => Number(timestampS) * 1000 + 999;
    const headers = createSigner({ mode, keyId, secret, clock, nonce: () => nonce }).sign(request);
    const base = { "x-api-key-id": keyId, "x-signature": expected.signature, "x-timestamp": timestampS };
    const strict = { "x-nonce": nonce, "x-content-sha256": expected.contentSha256 };
    expect(headers).toEqual(mode === "strict" ? { ...base, ...strict } : base);
    expect(openssl(expected.canonical, "-hmac", secret)).toBe(expected.signature);
  });

  test("A33: any request, signed by openssl at this moment", () => {
    const words = fc.stringMatching(/^[\w%&=.~-]{0,20}$/);
    const request = fc.record({
      method: fc.constantFrom("GET", "post"),
      path: words.map((p) => `/${p}`),
      query: words,
      body: fc.string(),
    });
    fc.assert(
      fc.property(request, fc.nat(2 ** 31), ({ method, path, query, body }, time) => {
        const clock = () => time * 1000;
        const gateway = createSigner({ mode: "auth-gateway", keyId: "k", secret, clock }).sign({
          method,
          path,
          query,
          body,
        });
        const verb = method.toUpperCase();
        expect(gateway["x-signature"]).toBe(openssl(`${verb}\n${path}\n${time}`, "-hmac", secret));
        const strict = createSigner({ mode: "strict", keyId: "k", secret, clock }).sign({ method, path, query, body });
        const { "x-nonce": nonce, "x-content-sha256": hash } = strict;
        expect(hash).toBe(openssl(body));
        const signed = `SLUICE-HMAC-SHA256\n${verb}\n${path}\n${query}\n${time}\n${nonce}\n${hash}`;
        expect(strict["x-signature"]).toBe(openssl(signed, "-hmac", secret));
      }),
      { numRuns: 15 },
    );
  });

  test("A33: a hash of the body given in its place signs the same bytes", () => {
    const signer = createSigner({ mode: "strict", keyId: "k", secret, clock: () => 0, nonce: () => "n".repeat(22) });
    const body = Buffer.from('{"a":1}');
    const bodySha256 = openssl(body.toString());
    expect(signer.sign({ method: "POST", path: "/", bodySha256 })).toEqual(
      signer.sign({ method: "POST", path: "/", body }),
    );
  });

  test("each strict signature has its own nonce of 128 bits", () => {
    const signer = createSigner({ mode: "strict", keyId: "k", secret });
    const nonces = Array.from({ length: 100 }, () => signer.sign({ method: "GET", path: "/" })["x-nonce"]!);
    expect(new Set(nonces).size).toBe(100);
    for (const nonce of nonces) expect(Buffer.from(nonce, "base64url")).toHaveLength(16);
  });
});

describe("a request that could be read in two ways is not signed", () => {
  test.each([
    [{ method: "GET\n/x", path: "/" }, "method must be an HTTP method"],
    [{ method: "GET", path: "/a\n1" }, "path must start with /"],
    [{ method: "GET", path: "/a?b" }, "path must start with /"],
    [{ method: "GET", path: "a" }, "path must start with /"],
    [{ method: "GET", path: "/", query: "a\nb" }, "query must hold no space"],
    [{ method: "GET", path: "/", query: "?a" }, "without its question mark"],
    [{ method: "GET", path: "/", bodySha256: "ABC" }, "64 lower-case hex digits"],
  ])("%j", (request, message) => {
    const signer = createSigner({ mode: "strict", keyId: "k", secret });
    expect(() => signer.sign(request)).toThrow(message);
  });

  test("a mode or key id that cannot travel is refused at the start", () => {
    expect(() => createSigner({ mode: "other" as SigningMode, keyId: "k", secret })).toThrow("mode must be");
    expect(() => createSigner({ mode: "strict", keyId: "a\r\nb", secret })).toThrow("visible ASCII");
  });
});

describe("A4: a weak secret is refused when the signer is made", () => {
  test.each(["", "changeme", "hunter2-hunter2-", "short-zq81"])("A4: %j names the key id, never the secret", (weak) => {
    const make = () => createSigner({ mode: "auth-gateway", keyId: "acme-key", secret: weak });
    expect(make).toThrow(WeakSecretError);
    expect(make).toThrow(/"acme-key" is too weak: .*openssl rand -hex 32/);
    if (weak !== "") expect(make).not.toThrow(weak);
  });
});
