import { verify, type X509Certificate } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { CertificateList } from "@peculiar/asn1-x509";
import { read, type Trust } from "./certificate-path.ts";

const block = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g;
/** RSA and ECDSA with SHA-256, -384, -512, and Ed25519. */
const digests: Readonly<Record<string, string | null>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  "1.3.101.112": null,
};

/** What revocation lists say. */
export interface Revocations extends Pick<Trust, "isRevoked"> {
  /** When the last list that is this authority's runs out, in Unix milliseconds. */
  readonly goodUntilMs: (issuer: X509Certificate) => number;
}

/**
 * Says what the revocation lists of a PEM text say. A certificate whose issuer has no list there that it signed and that is
 * current counts as revoked, as it does for OpenSSL. @throws Error where the text holds no list that can be read
 */
export function revocationsIn(pem: string, now: () => number): Revocations {
  const lists = [...pem.matchAll(block)].map(([, base64 = ""]) =>
    AsnConvert.parse(Buffer.from(base64, "base64"), CertificateList),
  );
  if (lists.length === 0) throw new Error("holds no revocation list in PEM");
  const serials = lists.map(
    (list) => new Set(list.tbsCertList.revokedCertificates?.map((entry) => hex(entry.userCertificate))),
  );
  const counts = (list: CertificateList, issuer: X509Certificate) => isCurrent(list, now()) && isBy(list, issuer);
  return {
    isRevoked: (certificate, issuer) => {
      const serial = hex(read(certificate).tbsCertificate.serialNumber);
      const ofIssuer = lists.flatMap((list, index) => (counts(list, issuer) ? [serials[index]] : []));
      return ofIssuer.length === 0 || ofIssuer.some((revoked) => revoked?.has(serial));
    },
    goodUntilMs: (issuer) => Math.max(...lists.filter((list) => counts(list, issuer)).map(endOf)),
  };
}

function endOf({ tbsCertList: { nextUpdate } }: CertificateList): number {
  return nextUpdate?.getTime().getTime() ?? Infinity;
}

function isCurrent(list: CertificateList, now: number): boolean {
  const { thisUpdate, crlExtensions = [] } = list.tbsCertList;
  return (
    thisUpdate.getTime().getTime() <= now &&
    endOf(list) > now &&
    // Partial and indirect lists are not read.
    !crlExtensions.some(({ critical }) => critical)
  );
}

function isBy(
  { tbsCertList, tbsCertListRaw, signatureAlgorithm, signature }: CertificateList,
  issuer: X509Certificate,
): boolean {
  const digest = digests[signatureAlgorithm.algorithm];
  const isNamed =
    hex(AsnConvert.serialize(tbsCertList.issuer)) === hex(AsnConvert.serialize(read(issuer).tbsCertificate.subject));
  if (!isNamed || digest === undefined || tbsCertListRaw === undefined) return false;
  return verify(digest, Buffer.from(tbsCertListRaw), issuer.publicKey, Buffer.from(signature));
}

function hex(bytes: ArrayBuffer): string {
  return Buffer.from(bytes).toString("hex");
}
