import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { AsnConvert } from "@peculiar/asn1-schema";
import { BasicConstraints, Certificate } from "@peculiar/asn1-x509";

/** The certificate that a client proved to have, and what else it sent along. */
export interface Presented {
  readonly leaf: X509Certificate;
  readonly others: readonly X509Certificate[];
}

/** From whom it comes to who vouches for it. */
export type Path = readonly [X509Certificate, ...X509Certificate[]];

export interface Trust {
  /** Those who may vouch. */
  readonly anchors: readonly X509Certificate[];
  /** Whether the second certificate, or the authority itself, withdrew the first. */
  readonly isRevoked: (certificate: X509Certificate, issuer: X509Certificate) => boolean;
}

const longestPath = 5;
const clientAuth = "1.3.6.1.5.5.7.3.2";
const oid = { basicConstraints: "2.5.29.19", nameConstraints: "2.5.29.30" };
/** What is looked at here, or says nothing about who may be vouched for. */
const understood = new Set([
  oid.basicConstraints,
  ...["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.31", "2.5.29.32", "2.5.29.35", "2.5.29.37"],
]);
/** MD5 and SHA-1, with RSA and ECDSA. */
const brokenSignatures = new Set(["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"]);

/** What a verified client showed, or undefined where it showed nothing that any configured authority vouches for. */
export function presentedBy(socket: TLSSocket): Presented | undefined {
  if (!socket.authorized) return undefined;
  const chain: X509Certificate[] = [];
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (at?.raw !== undefined && chain.length <= longestPath) {
    chain.push(new X509Certificate(at.raw));
    if (at.issuerCertificate === at) break;
    at = at.issuerCertificate;
  }
  const [leaf, ...others] = chain;
  return leaf === undefined ? undefined : { leaf, others };
}

/**
 * How one of the anchors vouches for a client's certificate (RFC 5280 §6), or undefined. OpenSSL verified the client against the
 * authorities of all tenants together, and need not have come by the ones that count here: so everything is looked at again.
 * Stricter than the standard: name constraints and other critical extensions that are not looked at are refused.
 */
export function pathTo(trust: Trust, { leaf, others }: Presented, now: number): Path | undefined {
  if (leaf.ca || !isSound(leaf, now)) return undefined;
  return continued([leaf], { trust, others, now });
}

interface Search {
  readonly trust: Trust;
  readonly others: readonly X509Certificate[];
  readonly now: number;
}

function continued(path: Path, search: Search): Path | undefined {
  if (path.length >= longestPath) return undefined;
  const { trust, others, now } = search;
  const last = path.at(-1) ?? path[0];
  const vouches = (issuer: X509Certificate) => isIssuer(issuer, path, now) && !trust.isRevoked(last, issuer);
  const anchor = trust.anchors.find(vouches);
  if (anchor !== undefined) return [...path, anchor];
  for (const between of others) {
    if (path.some(({ fingerprint256 }) => fingerprint256 === between.fingerprint256) || !vouches(between)) continue;
    const found = continued([...path, between], search);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether this authority may and did sign the last of a path. */
function isIssuer(issuer: X509Certificate, path: Path, now: number): boolean {
  const last = path.at(-1) ?? path[0];
  return (
    issuer.ca &&
    last.checkIssued(issuer) &&
    isSound(issuer, now) &&
    path.length - 1 <= pathLengthOf(issuer) &&
    last.verify(issuer.publicKey)
  );
}

/** What holds for each certificate of a path by itself. */
function isSound(certificate: X509Certificate, now: number): boolean {
  const { validFromDate, validToDate, keyUsage: purposes } = certificate as { keyUsage?: string[] } & X509Certificate;
  if (validFromDate.getTime() > now || validToDate.getTime() <= now) return false;
  if (purposes !== undefined && !purposes.includes(clientAuth)) return false;
  const { tbsCertificate, signatureAlgorithm } = read(certificate);
  return (
    !brokenSignatures.has(signatureAlgorithm.algorithm) &&
    (tbsCertificate.extensions ?? []).every(
      ({ extnID, critical }) => extnID !== oid.nameConstraints && (!critical || understood.has(extnID)),
    )
  );
}

function pathLengthOf(authority: X509Certificate): number {
  const found = read(authority).tbsCertificate.extensions?.find(({ extnID }) => extnID === oid.basicConstraints);
  if (found === undefined) return 0;
  return AsnConvert.parse(found.extnValue.buffer, BasicConstraints).pathLenConstraint ?? longestPath;
}

/** The parts of a certificate that node does not give. @throws Error where it is malformed */
export function read({ raw }: X509Certificate): Certificate {
  return AsnConvert.parse(raw, Certificate);
}
