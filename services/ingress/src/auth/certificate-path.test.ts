import { X509Certificate } from "node:crypto";
import { makeKeys, TestAuthority, type Issued } from "@sluice/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { pathTo, type Presented } from "./certificate-path.ts";
import { revocationsIn } from "./revocations.ts";

let acme: TestAuthority;
let other: TestAuthority;
const dayMs = 86_400_000;
const now = Date.now();
const client = { commonName: "agent", usage: "client" } as const;

beforeAll(async () => {
  [acme, other] = await Promise.all([TestAuthority.create("Acme CA"), TestAuthority.create("Other CA")]);
});

const certificate = ({ cert }: { cert: string }) => new X509Certificate(cert);
const presented = (leaf: Issued, ...others: { cert: string }[]): Presented => ({
  leaf: certificate(leaf),
  others: others.map(certificate),
});
const isVouchedFor = (shown: Presented, anchors: readonly { cert: string }[] = [acme], at = now) =>
  pathTo({ anchors: anchors.map(certificate), isRevoked: () => false }, shown, at) !== undefined;

describe("an authority vouches for a client's certificate", () => {
  it("that it signed itself, or by authorities in between that the client sends", async () => {
    const between = await acme.subordinate("Between");
    const below = await between.subordinate("Below");
    const leaf = await below.issue(client);
    expect(isVouchedFor(presented(await acme.issue(client)))).toBe(true);
    expect(isVouchedFor(presented(leaf, below, between))).toBe(true);
    expect(isVouchedFor(presented(leaf, between, below, acme))).toBe(true);
    expect(isVouchedFor(presented(leaf, below))).toBe(false);
    expect(isVouchedFor(presented(leaf), [below])).toBe(true);
  });

  it("and for no other authority's, also of the same name", async () => {
    const namesake = await TestAuthority.create("Acme CA");
    for (const authority of [other, namesake]) {
      const leaf = await authority.issue(client);
      expect(isVouchedFor(presented(leaf))).toBe(false);
      expect(isVouchedFor(presented(leaf, authority, acme))).toBe(false);
    }
  });

  it("and not through an agent's own certificate, whatever another authority says of its key", async () => {
    const agent = await acme.issue(client);
    const keys = await makeKeys();
    const known = await acme.issue({ ...client, keys });
    const forger = await other.subordinate("agent", { keys });
    const forged = await forger.issue({ ...client, commonName: "admin" });
    expect(isVouchedFor(presented(forged, forger, other), [other])).toBe(true);
    expect(isVouchedFor(presented(forged, known, forger, other))).toBe(false);
    expect(isVouchedFor(presented(forged, known, agent))).toBe(false);
  });

  it("and not for an authority that shows its own certificate", async () => {
    expect(isVouchedFor(presented({ ...(await acme.subordinate("Between")), chain: "" } as Issued))).toBe(false);
    expect(isVouchedFor(presented({ cert: acme.cert, key: "", chain: "" }))).toBe(false);
  });

  it("only as long as every certificate of the path is valid", async () => {
    const expired = { notBefore: new Date(now - 3 * dayMs), notAfter: new Date(now - dayMs) };
    const early = { notBefore: new Date(now + dayMs) };
    for (const validity of [expired, early]) {
      expect(isVouchedFor(presented(await acme.issue({ ...client, ...validity })))).toBe(false);
      const between = await acme.subordinate("Between", validity);
      expect(isVouchedFor(presented(await between.issue(client), between))).toBe(false);
    }
    const old = await TestAuthority.create("Old CA", { notAfter: new Date(now + dayMs) });
    const leaf = presented(await old.issue(client));
    expect(isVouchedFor(leaf, [old])).toBe(true);
    expect(isVouchedFor(leaf, [old], now + 2 * dayMs)).toBe(false);
  });

  it("only for clients, and only as deep as it may delegate", async () => {
    expect(isVouchedFor(presented(await acme.issue({ ...client, usage: "server" })))).toBe(false);
    expect(isVouchedFor(presented(await acme.issue({ commonName: "agent" })))).toBe(true);
    const narrow = await acme.subordinate("Narrow", { pathLength: 0 });
    const beyond = await narrow.subordinate("Beyond");
    expect(isVouchedFor(presented(await narrow.issue(client), narrow))).toBe(true);
    expect(isVouchedFor(presented(await beyond.issue(client), beyond, narrow))).toBe(false);
    const servers = await acme.subordinate("Servers", { usage: "server" });
    expect(isVouchedFor(presented(await servers.issue(client), servers))).toBe(false);
  });

  it("and never where a certificate says something that is not looked at: name constraints, unknown critical extensions", async () => {
    const permitted = Buffer.from(`300da00b3009820765${Buffer.from("xample").toString("hex")}`, "hex");
    const constrained = { oid: "2.5.29.30", critical: false, value: permitted };
    const unknown = { oid: "1.3.6.1.4.1.55555.1", critical: true, value: Buffer.from("0500", "hex") };
    expect(
      isVouchedFor(presented(await acme.issue({ ...client, extensions: [{ ...unknown, critical: false }] }))),
    ).toBe(true);
    for (const extension of [constrained, unknown]) {
      const between = await acme.subordinate("Between", { extensions: [extension] });
      expect(isVouchedFor(presented(await between.issue(client), between))).toBe(false);
      expect(isVouchedFor(presented(await acme.issue({ ...client, extensions: [extension] })))).toBe(false);
    }
  });
});

describe("a revocation list", () => {
  const isGood = async (leaf: Issued, list: string, at = now) => {
    const trust = { anchors: [certificate(acme)], ...revocationsIn(list, () => at) };
    return pathTo(trust, presented(leaf), now) !== undefined;
  };

  it("withdraws what it names, and nothing else of its authority", async () => {
    const [kept, withdrawn] = await Promise.all([acme.issue(client), acme.issue(client)]);
    const list = await acme.revocations([withdrawn]);
    expect(await isGood(kept, list)).toBe(true);
    expect(await isGood(withdrawn, list)).toBe(false);
  });

  it("that is outdated, of another authority or signed by another one lets nobody in", async () => {
    const leaf = await acme.issue(client);
    const namesake = await TestAuthority.create("Acme CA");
    expect(await isGood(leaf, await acme.revocations([]))).toBe(true);
    expect(await isGood(leaf, await acme.revocations([]), now + 2 * dayMs)).toBe(false);
    expect(await isGood(leaf, await other.revocations([]))).toBe(false);
    expect(await isGood(leaf, await namesake.revocations([]))).toBe(false);
    expect(() => revocationsIn("", Date.now)).toThrow("no revocation list");
  });
});
