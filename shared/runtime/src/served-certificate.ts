import { createHash } from "node:crypto";
import type { Log, Registry } from "@sluice/telemetry";
import { certificateMetrics } from "./certificate-metrics.ts";
import { ConfigError } from "./config.ts";
import { readKeyPair, type KeyPair, type NamedFile } from "./tls-files.ts";
import { watchFile } from "./watch-file.ts";

export interface ServedCertificateOptions {
  /** What it is for, as log and metrics call it. */
  readonly use: string;
  readonly certFile: NamedFile;
  readonly keyFile: NamedFile;
  readonly log: Log;
  readonly metrics: Registry;
}

const soonMs = 14 * 86_400_000;

/** The two settings of a server, or undefined where it serves without TLS. @throws ConfigError where only one is set. */
export function servedFiles(certFile: Partial<NamedFile>, keyFile: Partial<NamedFile>): [NamedFile, NamedFile] | undefined {
  if (certFile.path === undefined && keyFile.path === undefined) return undefined;
  if (certFile.path === undefined || keyFile.path === undefined)
    throw new ConfigError(`${certFile.setting} and ${keyFile.setting} belong together: set both`);
  return [certFile as NamedFile, keyFile as NamedFile];
}

/**
 * The certificate that a server shows, read again whenever its files change. One that can't be used is refused at the start;
 * later it changes nothing, and log and metrics say so.
 */
export class ServedCertificate implements Disposable {
  readonly #options: ServedCertificateOptions;
  readonly #watches: Disposable[];
  readonly #listeners = new Set<(pair: KeyPair) => void>();
  #pair: KeyPair;
  #problem: string | undefined;

  /** @throws ConfigError */
  constructor(options: ServedCertificateOptions) {
    this.#options = options;
    this.#pair = this.#read();
    this.#inUse("TLS certificate");
    const look = () => this.#look();
    this.#watches = [options.certFile, options.keyFile].map(({ path }) => watchFile(path, look));
  }

  get pair(): KeyPair {
    return this.#pair;
  }

  /** Told of each change; connections that stand are not touched by it. */
  onChange(listener: (pair: KeyPair) => void): void {
    this.#listeners.add(listener);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  #read(): KeyPair {
    return readKeyPair(this.#options.certFile, this.#options.keyFile);
  }

  #look(): void {
    const { use, log, metrics } = this.#options;
    try {
      const pair = this.#read();
      this.#problem = undefined;
      if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) return;
      this.#pair = pair;
      for (const listener of this.#listeners) listener(pair);
      this.#inUse("TLS certificate changed");
    } catch (error) {
      const { message: reason } = error as Error;
      if (reason === this.#problem) return;
      this.#problem = reason;
      certificateMetrics(metrics).refused(use);
      log.error(
        { use, reason, expires: this.#pair.expiresAt },
        "the changed TLS files can't be used: the certificate before stays in use",
      );
    }
  }

  #inUse(message: string): void {
    const { use, log, metrics } = this.#options;
    const { expiresAt, cert } = this.#pair;
    certificateMetrics(metrics).expires(use, expiresAt);
    const seen = { use, expires: expiresAt, certificate: createHash("sha256").update(cert).digest("hex").slice(0, 16) };
    if (expiresAt.getTime() - Date.now() < soonMs) log.warn(seen, `${message}, which expires soon`);
    else log.info(seen, message);
  }
}
