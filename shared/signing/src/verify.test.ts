import { describe, expect, test } from "vitest";
import { createSigner, createVerifier, verify, type SigningKey, type SigningMode } from "./index.ts";

const now = 1_767_225_600_000;
const request = { method: "POST", path: "/mcp", query: "a=1", body: '{"id":1}' };

function key(mode: SigningMode, clock = () => now): SigningKey {
  return { mode, keyId: "acme", secret: "5a0e94c1b2d7f3868e1c", clock };
}

describe.each(["auth-gateway", "strict"] as const)("A33: verification in the mode %s", (mode) => {
  const headers = createSigner(key(mode)).sign(request);

  test("what was signed is accepted", async () => {
    expect(await verify(key(mode), request, headers)).toEqual({ ok: true });
  });

  test.each([
    ["signature_mismatch", { method: "PUT" }, {}],
    ["signature_mismatch", { path: "/mcp/" }, {}],
    ["signature_mismatch", {}, { "x-signature": "0".repeat(64) }],
    ["signature_mismatch", {}, { "x-timestamp": String(now / 1000 + 1) }],
    ["timestamp_out_of_range", {}, { "x-timestamp": String(now / 1000 + 301) }],
    ["unknown_key", {}, { "x-api-key-id": "other" }],
    ["missing_header", {}, { "x-signature": undefined }],
    ["malformed_header", {}, { "x-signature": "zz" }],
    ["malformed_header", {}, { "x-timestamp": "1e9" }],
    ["malformed_header", {}, { "x-signature": [headers["x-signature"]!, headers["x-signature"]!] }],
    ["malformed_request", { path: "/mcp\n" }, {}],
  ] as const)("%s: request %j, headers %j", async (reason, changed, replaced) => {
    const verdict = await verify(key(mode), { ...request, ...changed }, { ...headers, ...replaced });
    expect(verdict).toEqual({ ok: false, reason });
  });

  test("the timestamp may lie off by the tolerance and no more, both ways", async () => {
    for (const offMs of [-60_000, 60_000]) {
      const near = { ...key(mode, () => now + offMs), toleranceMs: 60_000 };
      expect(await verify(near, request, headers)).toEqual({ ok: true });
      const far = { ...key(mode, () => now + offMs * 1.001), toleranceMs: 60_000 };
      expect(await verify(far, request, headers)).toEqual({ ok: false, reason: "timestamp_out_of_range" });
    }
  });

  test("another secret does not verify", async () => {
    const other = { ...key(mode), secret: "5a0e94c1b2d7f3868e1d" };
    expect(await verify(other, request, headers)).toEqual({ ok: false, reason: "signature_mismatch" });
  });
});

describe("A33: strict covers what auth-gateway leaves open", () => {
  const headers = createSigner(key("strict")).sign(request);

  test.each([
    ["signature_mismatch", { query: "a=2" }, {}],
    ["body_mismatch", { body: '{"id":2}' }, {}],
    ["signature_mismatch", {}, { "x-nonce": "A".repeat(22) }],
    ["signature_mismatch", {}, { "x-content-sha256": "0".repeat(64) }],
    ["missing_header", {}, { "x-nonce": undefined }],
  ])("%s: request %j, headers %j", async (reason, changed, replaced) => {
    const verdict = await verify(key("strict"), { ...request, ...changed }, { ...headers, ...replaced });
    expect(verdict).toEqual({ ok: false, reason });
  });

  test("a nonce is accepted once, and a forged request does not spend it", async () => {
    const known = new Map<string, number>();
    const rememberNonce = (nonce: string, expiresAtMs: number) =>
      !known.has(nonce) && known.set(nonce, expiresAtMs) === known;
    const verifier = createVerifier({ ...key("strict"), rememberNonce });
    expect(await verifier.verify({ ...request, body: "" }, headers)).toMatchObject({ reason: "body_mismatch" });
    expect(known.size).toBe(0);
    expect(await verifier.verify(request, headers)).toEqual({ ok: true });
    expect([...known]).toEqual([[headers["x-nonce"], now + 300_000]]);
    expect(await verifier.verify(request, headers)).toEqual({ ok: false, reason: "replayed_nonce" });
  });

  test("a signature of one mode is none in the other", async () => {
    expect(await verify(key("auth-gateway"), request, headers)).toEqual({ ok: false, reason: "signature_mismatch" });
  });
});
