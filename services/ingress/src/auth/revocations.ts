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

/**
 * Says what the revocation lists of a PEM text say. A certificate whose issuer has no list there that it signed and that is
 * current counts as revoked, as it does for OpenSSL. @throws Error where the text holds no list that can be read
 */
export function revocationsIn(pem: string, now: () => number): Trust["isRevoked"] {
  const lists = [...pem.matchAll(block)].map(([, base64 = ""]) =>
    AsnConvert.parse(Buffer.from(base64, "base64"), CertificateList),
  );
  if (lists.length === 0) throw new Error("holds no revocation list in PEM");
  const serials = lists.map(
    (list) => new Set(list.tbsCertList.revokedCertificates?.map((entry) => hex(entry.userCertificate))),
  );
  return (certificate, issuer) => {
    const serial = hex(read(certificate).tbsCertificate.serialNumber);
    const ofIssuer = lists.flatMap((list, index) =>
      isCurrent(list, now()) && isBy(list, issuer) ? [serials[index]] : [],
    );
    return ofIssuer.length === 0 || ofIssuer.some((revoked) => revoked?.has(serial));
  };
}

function isCurrent(
  { tbsCertList: { thisUpdate, nextUpdate, crlExtensions = [] } }: CertificateList,
  now: number,
): boolean {
  return (
    thisUpdate.getTime().getTime() <= now &&
    (nextUpdate === undefined || nextUpdate.getTime().getTime() > now) &&
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
