import { isIP } from "node:net";
import type { TlsOptions } from "@nats-io/transport-node";

/** PEM of what connections are made with; each connection reads the properties anew. */
export interface TlsMaterial {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const systemsOwn: TlsMaterial = { ca: undefined, cert: undefined, key: undefined };

/** With these options the client connects over TLS or not at all. Without, it does what the server asks for. */
export function tlsOptions({ url, tls }: { url: string; tls?: TlsMaterial | undefined }): { tls?: TlsOptions } {
  if (tls === undefined && !url.startsWith("tls://")) return {};
  const material = tls ?? systemsOwn;
  const options = {
    // The client names the server only where its address is a name; node would compare others with `localhost`.
    ...addressOf(url),
    get ca() {
      return material.ca;
    },
    get cert() {
      return material.cert;
    },
    get key() {
      return material.key;
    },
  };
  return { tls: options as TlsOptions };
}

function addressOf(url: string): { host?: string } {
  const { hostname = "" } = URL.parse(url.replace(/^(?:\w+:\/\/)?/, "http://")) ?? {};
  const host = hostname.replace(/^\[|\]$/g, "");
  return isIP(host) === 0 ? {} : { host };
}
