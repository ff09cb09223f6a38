// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs its effect
import "reflect-metadata";
import { randomBytes, webcrypto } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

export interface Wanted {
  readonly commonName?: string;
  readonly sans?: readonly { readonly type: "dns" | "ip" | "url" | "email"; readonly value: string }[];
  /** Without: no restriction. */
  readonly usage?: "server" | "client";
  /** An authority of its own, which can issue further. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** To certify a key that there is already. */
  readonly keys?: CryptoKeyPair;
  readonly extensions?: readonly { readonly oid: string; readonly critical: boolean; readonly value: Buffer }[];
}

/** A certificate and its key in PEM; the chain up to the authority's own, which is left out. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly chain: string;
}

export interface IssuedFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

type CryptoKeyPair = webcrypto.CryptoKeyPair;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const usages = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" };
const dayMs = 86_400_000;

export const makeKeys = (): Promise<CryptoKeyPair> => webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

/** An authority that issues what a test wants. */
export class TestAuthority {
  /** Its own certificate in PEM. */
  readonly cert: string;
  readonly key: string;
  readonly keys: CryptoKeyPair;
  readonly #certificate: x509.X509Certificate;
  readonly #chain: string;

  private constructor(certificate: x509.X509Certificate, keys: CryptoKeyPair, { key, chain }: Omit<Issued, "cert">) {
    this.#certificate = certificate;
    this.cert = certificate.toString("pem");
    this.key = key;
    this.keys = keys;
    this.#chain = chain;
  }

  /** A root; `keys` makes another one with the key of one that there is. */
  static async create(name: string, { keys: given, notAfter, extensions }: Wanted = {}): Promise<TestAuthority> {
    const keys = given ?? (await makeKeys());
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: `CN=${name}`,
      keys: keys as never,
      signingAlgorithm: algorithm,
      ...validity({ ...(notAfter !== undefined && { notAfter }) }),
      extensions: [...authorityExtensions(), ...further(extensions)],
    });
    return new TestAuthority(certificate, keys, { key: await pemOf(keys.privateKey), chain: "" });
  }

  async issue(wanted: Wanted): Promise<Issued> {
    const { certificate, keys } = await this.#certify(wanted);
    return { cert: certificate.toString("pem"), key: await pemOf(keys.privateKey), chain: this.#chain };
  }

  /** Writes `<name>.pem`, with the chain, and `<name>-key.pem`. */
  async issueFiles(dir: string, name: string, wanted: Wanted): Promise<IssuedFiles> {
    const { cert, key, chain } = await this.issue(wanted);
    const files = { certFile: join(dir, `${name}.pem`), keyFile: join(dir, `${name}-key.pem`) };
    await writeFile(files.certFile, `${cert}\n${chain}`);
    await writeFile(files.keyFile, key);
    return files;
  }

  /** A revocation list in PEM. */
  async revocations(revoked: readonly Issued[], nextUpdate = new Date(Date.now() + dayMs)): Promise<string> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(Date.now() - dayMs),
      nextUpdate,
      entries: revoked.map(({ cert }) => ({ serialNumber: new x509.X509Certificate(cert).serialNumber })),
      signingKey: this.keys.privateKey as never,
      signingAlgorithm: algorithm,
    });
    return list.toString("pem").replaceAll(" CRL-", " X509 CRL-").replaceAll("X509 X509", "X509");
  }

  /** An authority below this one. */
  async subordinate(name: string, wanted: Wanted = {}): Promise<TestAuthority> {
    const { certificate, keys } = await this.#certify({ ...wanted, commonName: name, ca: true });
    const chain = `${certificate.toString("pem")}\n${this.#chain}`;
    return new TestAuthority(certificate, keys, { key: await pemOf(keys.privateKey), chain });
  }

  async #certify(wanted: Wanted): Promise<{ certificate: x509.X509Certificate; keys: CryptoKeyPair }> {
    const keys = wanted.keys ?? (await makeKeys());
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: wanted.commonName === undefined ? "" : `CN=${wanted.commonName}`,
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey as never,
      signingKey: this.keys.privateKey as never,
      signingAlgorithm: algorithm,
      ...validity(wanted),
      extensions: [...extensionsOf(wanted), ...further(wanted.extensions)],
    });
    return { certificate, keys };
  }
}

function extensionsOf({ ca = false, usage, sans, pathLength }: Wanted): x509.Extension[] {
  return [
    ...(ca ? authorityExtensions(pathLength) : [new x509.BasicConstraintsExtension(false)]),
    ...(usage === undefined ? [] : [new x509.ExtendedKeyUsageExtension([usages[usage]])]),
    ...(sans === undefined ? [] : [new x509.SubjectAlternativeNameExtension([...sans])]),
  ];
}

function further(extensions: Wanted["extensions"] = []): x509.Extension[] {
  return extensions.map(({ oid, critical, value }) => new x509.Extension(oid, critical, new Uint8Array(value)));
}

function authorityExtensions(pathLength?: number): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

function validity({ notBefore, notAfter }: Wanted): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: notBefore ?? new Date(now - dayMs), notAfter: notAfter ?? new Date(now + 365 * dayMs) };
}

const serial = () => `01${randomBytes(12).toString("hex")}`;

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}
