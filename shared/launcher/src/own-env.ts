import { join, resolve } from "node:path";
import type { ServiceName } from "@sluice/contracts";
import type { HouseState } from "./state.ts";
import { upstreamNetworksHere } from "./upstream-networks.ts";

/** Where a house keeps what was signed, beside its database and NATS. */
const checkpointsFile = "checkpoints.jsonl";
/** Where destinations of type `file` write. */
export function auditFilesDir(dataDir: string): string {
  return resolve(dataDir, "audit-files");
}

/** What a service of a house is told beside where NATS, Redis and Postgres are: its own secrets and no other's. */
export function ownEnv({
  service,
  confDir,
  dataDir,
  state,
  port,
  pushAddress,
}: {
  service: ServiceName;
  confDir: string;
  dataDir: string;
  state: HouseState;
  port: number | undefined;
  pushAddress: Readonly<Record<string, string>>;
}): Record<string, string> {
  const networks = { UPSTREAM_NETWORKS: upstreamNetworksHere() };
  const handles = { PUSH_SIGNING_KEY: state.pushSigningKey };
  if (service === "ingress") return { PORT: String(port), ...handles, ...pushAddress, ...networks };
  const webhooks = { PUSH_NETWORKS: process.env["PUSH_NETWORKS"] ?? upstreamNetworksHere() };
  if (service === "egress") return { ...handles, ...pushAddress, ...webhooks, ...networks };
  if (service === "session-manager") return { PUSH_ENCRYPTION_KEY: state.pushEncryptionKey };
  if (service === "signer")
    return { SIGNER_KEY: state.signerKey.privateKey, SIGNER_FILE: join(dataDir, checkpointsFile) };
  if (service === "control")
    return { CONF_DIR: resolve(confDir), ADMIN_PORT: String(port), ADMIN_TOKEN: state.adminToken, ...networks };
  if (service === "audit") return { AUDIT_FILE_DIR: process.env["AUDIT_FILE_DIR"] ?? auditFilesDir(dataDir) };
  return {};
}
