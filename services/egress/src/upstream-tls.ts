import { createPrivateKey, X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { createSecureContext } from "node:tls";
import type { UpstreamTls } from "@sluice/contracts";
import type { TlsMaterial } from "@sluice/net";
import type { Secrets } from "@sluice/secrets";

/** What TLS connections to one server are made with; connections that stand keep what they were made with. */
export class TlsInUse {
  readonly #secrets: Pick<Secrets, "value">;
  #material: TlsMaterial | undefined;

  constructor(secrets: Pick<Secrets, "value">) {
    this.#secrets = secrets;
  }

  /** Takes over what the references stand for now. @throws Error that says what is wrong, without a secret; nothing changes then */
  read(settings: UpstreamTls | undefined): void {
    const fresh = settings && readTls(settings, this.#secrets);
    if (!isDeepStrictEqual(fresh, this.#material)) this.#material = fresh;
  }

  readonly material = (): TlsMaterial | undefined => this.#material;
}

function readTls({ ca, cert, key, serverName }: UpstreamTls, secrets: Pick<Secrets, "value">): TlsMaterial {
  const text = (source: string) => (source.startsWith("${") ? secrets.value(source) : source);
  const material: TlsMaterial = {
    ...(ca !== undefined && { ca: text(ca) }),
    ...(cert !== undefined && { cert: text(cert) }),
    ...(key !== undefined && { key: text(key) }),
    ...(serverName !== undefined && { servername: serverName }),
  };
  requireUsable(material);
  return material;
}

function requireUsable({ ca, cert, key }: TlsMaterial): void {
  const attempt = <Result>(what: string, work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw new Error(`tls: ${what} (${(error as NodeJS.ErrnoException).code ?? "unknown"})`);
    }
  };
  if (ca !== undefined) attempt("ca is no certificate in PEM", () => new X509Certificate(ca));
  if (cert === undefined || key === undefined) return;
  const leaf = attempt("cert is no certificate in PEM", () => new X509Certificate(cert));
  const privateKey = attempt("key is no private key in PEM without a passphrase", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) throw new Error("tls: key does not belong to the first certificate of cert");
  attempt("cert and key can't be used", () => createSecureContext({ cert, key }));
}
