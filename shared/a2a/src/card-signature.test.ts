import { AgentCard, generateAgentCardSignature, verifyAgentCardSignature } from "@a2a-js/sdk";
import { canonicalJson } from "@sluice/json";
import { exportJWK, exportSPKI, flattenedVerify, generateKeyPair, type JWK } from "jose";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { readCard } from "./card.ts";
import { renderCard } from "./card-render.ts";
import type { Members } from "./card-shape.ts";
import { signCard, verifyCard, type CardKey } from "./card-signature.ts";
import { cards } from "./card-test-data.ts";

const jku = "https://gateway.example.com/.well-known/jwks.json";
let pair: Awaited<ReturnType<typeof generateKeyPair>>;
let key: CardKey;
let jwk: JWK;

beforeAll(async () => {
  pair = await generateKeyPair("ES256", { extractable: true });
  key = { key: pair.privateKey, alg: "ES256", kid: "k-1", jku };
  jwk = { ...(await exportJWK(pair.publicKey)), kid: "k-1" };
});

const rendered = (form: "1.0" | "0.3" | "both") =>
  renderCard(readCard(Buffer.from(JSON.stringify(cards["1.0"]))), form, {
    url: "https://gateway.example.com/a2a/planner",
    schemes: [{ type: "apiKey", header: "x-agent-api-key" }, { type: "bearer" }, { type: "mutualTLS" }],
    shows: () => true,
    pushes: true,
  });
const served = (card: Members) => JSON.parse(JSON.stringify(card)) as Members & { signatures: Signature[] };
type Signature = { protected: string; signature: string };
const published = { fetch: (at: string) => Promise.resolve(at === jku ? [jwk] : undefined) };

describe("the gateway's signature", () => {
  it("is over the card as it is: RFC 8785 and RFC 7515 are enough to verify it", async () => {
    for (const form of ["1.0", "0.3", "both"] as const) {
      const { signatures, ...signed } = served(await signCard(rendered(form), key));
      const payload = Buffer.from(canonicalJson(signed)).toString("base64url");
      const { protectedHeader } = await flattenedVerify({ ...signatures[0], payload } as never, pair.publicKey);
      expect(protectedHeader).toEqual({ alg: "ES256", typ: "JOSE", kid: "k-1", jku });
    }
  });

  it("is accepted by the official SDK, and not after a change", async () => {
    vi.spyOn(console, "debug").mockReturnValue();
    const verify = verifyAgentCardSignature(() => Promise.resolve(pair.publicKey));
    for (const form of ["1.0", "both"] as const) {
      const card = served(await signCard(rendered(form), key));
      await verify(card as never);
      await verify(AgentCard.fromJSON(card));
      await expect(verify({ ...card, name: "Other" } as never)).rejects.toThrow("No valid signatures");
    }
  });
});

describe("an agent's signature", () => {
  const sdkSigned = async (card: unknown) => {
    const sign = generateAgentCardSignature(pair.privateKey as never, { alg: "ES256", typ: "JOSE", kid: "k-1", jku });
    return served((await sign(AgentCard.fromJSON(card))) as never as Members);
  };

  it("of the official SDK counts, and vouches for what it is over alone", async () => {
    const { signatures } = await sdkSigned(cards["1.0"]);
    const seen = await verifyCard({ ...cards["1.0"], signatures }, published);
    expect(seen).toMatchObject({ is: "valid", card: { name: "Planner" } });
    expect(seen).not.toHaveProperty("card.unknown-member");
    const own = await verifyCard(await signCard(cards["0.3"], key), published);
    expect(own).toMatchObject({ is: "valid", card: cards["0.3"] });
  });

  it("does not pass where the card was changed, the key is another one, or the kind is none that counts", async () => {
    const card = served(await signCard(cards["0.3"], key));
    const other = await generateKeyPair("ES256", { extractable: true });
    const otherPem = await exportSPKI(other.publicKey);
    expect(await verifyCard({ ...card, url: "https://evil.example.com" }, published)).toMatchObject({ is: "invalid" });
    expect(await verifyCard(card, { ...published, pinned: [otherPem] })).toMatchObject({ is: "invalid" });
    expect(await verifyCard(card, { ...published, pinned: [await exportSPKI(pair.publicKey)] })).toMatchObject({
      is: "valid",
    });
    const none = Buffer.from('{"alg":"none","kid":"k-1"}').toString("base64url");
    for (const alg of [none, Buffer.from('{"alg":"HS256","kid":"k-1"}').toString("base64url"), "x"])
      expect((await verifyCard({ ...card, signatures: [{ protected: alg, signature: "" }] }, published)).is).toBe(
        "unknown",
      );
    for (const signatures of [7, [null], [{}]])
      expect((await verifyCard({ ...card, signatures }, published)).is).toBe("invalid");
  });

  it("by keys that are not to be had is unknown, no signature is unsigned, and a good one beside a bad one is enough", async () => {
    const card = served(await signCard(cards["0.3"], key));
    expect(await verifyCard(card, { fetch: () => Promise.resolve(undefined) })).toMatchObject({ is: "unknown" });
    expect(await verifyCard(card, { fetch: () => Promise.resolve([{ ...jwk, kid: "k-2" }]) })).toMatchObject({
      is: "unknown",
    });
    expect(await verifyCard(cards["0.3"], published)).toEqual({ is: "unsigned" });
    const bad = { ...card.signatures[0], signature: card.signatures[0]?.signature.replace(/^./, "A") };
    expect((await verifyCard({ ...card, signatures: [bad, ...card.signatures] }, published)).is).toBe("valid");
  });
});
