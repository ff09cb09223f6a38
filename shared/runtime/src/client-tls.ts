import type { Log, Registry } from "@sluice/telemetry";
import { certificateMetrics } from "./certificate-metrics.ts";
import { ConfigError } from "./config.ts";
import { readAuthorities, readKeyPair, type KeyPair } from "./tls-files.ts";

/** What a connection is made with. Reading a property reads the files anew, so that the next connection has what they say then. */
export interface ClientTls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** What `X_CA_FILE`, `X_CERT_FILE` and `X_KEY_FILE` of a server X say. */
export interface ClientTlsPaths {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

export interface ClientTlsReports {
  readonly log: Log;
  readonly metrics: Registry;
}

type Material = { readonly ca: string | undefined; readonly pair: KeyPair | undefined };

/**
 * The files of one server's settings, or undefined where none is named.
 * @throws ConfigError where they can't be used. Later it is said in log and metric, and what they held before stays in use.
 */
export function clientTls(
  name: string,
  paths: ClientTlsPaths,
  { log, metrics }: ClientTlsReports,
): ClientTls | undefined {
  const files = filesOf(name, paths);
  if (files === undefined) return undefined;
  const use = name.toLowerCase();
  const report = certificateMetrics(metrics);
  let good = files();
  let problem: string | undefined;
  let isFresh = false;
  const current = (): Material => {
    if (isFresh) return good;
    // What one connection reads belongs together.
    isFresh = true;
    queueMicrotask(() => (isFresh = false));
    try {
      good = files();
      problem = undefined;
    } catch (error) {
      const { message: reason } = error as Error;
      if (reason !== problem) {
        report.refused(use);
        log.error({ use, reason, expires: good.pair?.expiresAt }, "TLS files can't be used: the ones before stay");
      }
      problem = reason;
    }
    if (good.pair !== undefined) report.expires(use, good.pair.expiresAt);
    return good;
  };
  current();
  return {
    get ca() {
      return current().ca;
    },
    get cert() {
      return current().pair?.cert;
    },
    get key() {
      return current().pair?.key;
    },
  };
}

function filesOf(name: string, paths: ClientTlsPaths): (() => Material) | undefined {
  const file = (kind: keyof ClientTlsPaths) => {
    const path = paths[kind];
    return path === undefined ? undefined : { setting: `${name}_${kind.toUpperCase()}_FILE`, path };
  };
  const [ca, cert, key] = [file("ca"), file("cert"), file("key")];
  if ((cert === undefined) !== (key === undefined))
    throw new ConfigError(`${name}_CERT_FILE and ${name}_KEY_FILE belong together: set both`);
  if (ca === undefined && cert === undefined) return undefined;
  return () => ({
    ca: ca && readAuthorities(ca),
    pair: cert && key && readKeyPair(cert, key),
  });
}
