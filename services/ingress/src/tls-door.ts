import { constants } from "node:crypto";
import type { Server as HttpServer } from "node:http";
import type { Server, TlsOptions } from "node:tls";
import { ServedCertificate, servedFiles, type BaseConfig, type Context } from "@sluice/runtime";
import { Counter } from "@sluice/telemetry";
import type { ClientAuthorities } from "./client-authorities.ts";
import type { IngressConfig } from "./config.ts";

/** TLS of the agents' door. */
export interface TlsDoor {
  /** What its server is made with. */
  readonly options: TlsOptions;
  attach(server: HttpServer): void;
}

/**
 * Undefined where no certificate is configured. Agents are asked for certificates as long as there are authorities for them, and
 * may come without; what one is worth is up to the authentication.
 * @throws ConfigError
 */
export function openTlsDoor(
  { config, log, metrics, scope }: Context<IngressConfig & BaseConfig>,
  authorities: ClientAuthorities,
): TlsDoor | undefined {
  const files = servedFiles(["TLS_CERT_FILE", config.TLS_CERT_FILE], ["TLS_KEY_FILE", config.TLS_KEY_FILE]);
  if (files === undefined) return undefined;
  const asks = () => authorities.pems.length > 0;
  // A resumed session would not show the chain, and would not be verified again.
  const besides = () => (asks() ? { ca: [...authorities.pems], secureOptions: constants.SSL_OP_NO_TICKET } : {});
  const served = scope.use(
    new ServedCertificate({ use: "server", ...files, minVersion: config.TLS_MIN_VERSION, besides, log, metrics }),
  );
  const failures = new Counter({
    name: "sluice_tls_handshake_failures_total",
    help: "Connections of agents that ended before the TLS handshake did",
    registers: [metrics],
  });
  return {
    get options() {
      return {
        ...served.context,
        requestCert: asks(),
        rejectUnauthorized: false,
        handshakeTimeout: config.HEADERS_TIMEOUT_MS,
        ALPNProtocols: ["http/1.1"],
      };
    },
    attach: (httpServer) => {
      const server = httpServer as unknown as Server & { requestCert: boolean };
      server.prependListener("tlsClientError", () => failures.inc());
      served.follow(server);
      authorities.onChange(() => {
        server.requestCert = asks();
        served.renew();
      });
    },
  };
}
