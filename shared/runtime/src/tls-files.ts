import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError } from "./config.ts";

/** A file that a setting names. */
export interface NamedFile {
  /** The setting, such as `TLS_CERT_FILE`. */
  readonly setting: string;
  readonly path: string;
}

/** A certificate with its chain and the key that belongs to it, in PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
  readonly expiresAt: Date;
}

const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** @throws ConfigError that names the setting and the file. */
function readPem({ setting, path }: NamedFile): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      code === "ENOENT" ? `${setting}: there is no file ${path}` : `${setting}: ${path} can't be read (${code})`,
    );
  }
}

/** Every certificate of a PEM text, in its order. @throws Error where one can't be read, or there is none. */
export function certificatesIn(pem: string): [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = (pem.match(block) ?? []).map((text) => new X509Certificate(text));
  if (first === undefined) throw new Error("holds no certificate in PEM");
  return [first, ...others];
}

/** Certificates that are trusted. @throws ConfigError */
export function readAuthorities(file: NamedFile): string {
  const pem = readPem(file);
  certificatesOf(file, pem);
  return pem;
}

/**
 * A certificate and its key, which fit each other and are good at this time.
 * @throws ConfigError that says what is wrong, without a secret.
 */
export function readKeyPair(certFile: NamedFile, keyFile: NamedFile, now = Date.now()): KeyPair {
  const cert = readPem(certFile);
  const key = readPem(keyFile);
  const [leaf] = certificatesOf(certFile, cert);
  if (!leaf.checkPrivateKey(privateKeyOf(keyFile, key)))
    throw new ConfigError(
      `${keyFile.setting}: the key in ${keyFile.path} does not belong to the first certificate in ${certFile.path}`,
    );
  requireValidity(certFile, leaf, now);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new ConfigError(`${certFile.setting}: ${certFile.path} can't be used (${codeOf(error)})`);
  }
  return { cert, key, expiresAt: leaf.validToDate };
}

function certificatesOf(file: NamedFile, pem: string): ReturnType<typeof certificatesIn> {
  try {
    return certificatesIn(pem);
  } catch (error) {
    const reason = codeOf(error) ?? (error as Error).message;
    throw new ConfigError(`${file.setting}: ${file.path} can't be used: ${reason}`);
  }
}

function privateKeyOf({ setting, path }: NamedFile, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const isEncrypted = codeOf(error) === "ERR_MISSING_PASSPHRASE";
    throw new ConfigError(
      `${setting}: ${path} ${isEncrypted ? "is encrypted: give the key without a passphrase" : "holds no private key in PEM"}`,
    );
  }
}

function requireValidity({ setting, path }: NamedFile, leaf: X509Certificate, now: number): void {
  const { validFromDate: from, validToDate: to } = leaf;
  if (to.getTime() <= now)
    throw new ConfigError(`${setting}: the certificate in ${path} expired on ${to.toISOString()}`);
  if (from.getTime() > now)
    throw new ConfigError(`${setting}: the certificate in ${path} is not valid before ${from.toISOString()}`);
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
