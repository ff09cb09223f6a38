import { constants, createHash } from "node:crypto";
import type { SecureContextOptions, Server } from "node:tls";
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
  readonly minVersion: "1.2" | "1.3";
  /** What connections are made with besides. */
  readonly besides?: () => SecureContextOptions;
  readonly log: Log;
  readonly metrics: Registry;
}

const soonMs = 14 * 86_400_000;

type Setting = readonly [name: string, path: string | undefined];

/** The files that two settings name, or undefined where they name none. @throws ConfigError where only one does. */
export function servedFiles(
  [certSetting, certPath]: Setting,
  [keySetting, keyPath]: Setting,
): Pick<ServedCertificateOptions, "certFile" | "keyFile"> | undefined {
  if (certPath === undefined && keyPath === undefined) return undefined;
  if (certPath === undefined || keyPath === undefined)
    throw new ConfigError(`${certSetting} and ${keySetting} belong together: set both`);
  return { certFile: { setting: certSetting, path: certPath }, keyFile: { setting: keySetting, path: keyPath } };
}

/**
 * The certificate that a server shows, read again whenever its files change. One that can't be used is refused at the start;
 * later it changes nothing, and log and metrics say so.
 */
export class ServedCertificate implements Disposable {
  readonly #options: ServedCertificateOptions;
  readonly #watches: Disposable[];
  readonly #servers = new Set<Server>();
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

  /** What a server is made with. */
  get context(): SecureContextOptions {
    const { minVersion, besides } = this.#options;
    const { cert, key } = this.#pair;
    const more = besides?.() ?? {};
    return {
      cert,
      key,
      minVersion: `TLSv${minVersion}`,
      ...more,
      // Whoever a connection was made by, it stays.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (more.secureOptions ?? 0),
    };
  }

  /** Connections made from now on have what is in use then; those that stand are not touched. */
  follow(server: Server): void {
    this.#servers.add(server);
  }

  /** What is made with `besides` has changed. */
  renew(): void {
    for (const server of this.#servers) server.setSecureContext(this.context);
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
      this.renew();
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
