import { ServedCertificate, servedFiles, type Context } from "@sluice/runtime";
import type { ControlConfig } from "./config.ts";

/** The admin API's certificate, or undefined where none is configured. @throws ConfigError */
export function openAdminTls({
  config,
  log,
  metrics,
  scope,
}: Pick<Context<ControlConfig>, "config" | "log" | "metrics" | "scope">): ServedCertificate | undefined {
  const { ADMIN_TLS_CERT_FILE: cert, ADMIN_TLS_KEY_FILE: key, ADMIN_TLS_MIN_VERSION: minVersion } = config;
  const files = servedFiles(["ADMIN_TLS_CERT_FILE", cert], ["ADMIN_TLS_KEY_FILE", key]);
  return files && scope.use(new ServedCertificate({ use: "admin", ...files, minVersion, log, metrics }));
}
