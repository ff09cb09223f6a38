import { createHash, timingSafeEqual } from "node:crypto";
import type { Server as TlsServer } from "node:tls";
import { Fault, faultBody, toFault } from "@sluice/contracts";
import { createGuard, type ServedCertificate } from "@sluice/runtime";
import { fastify, type FastifyInstance, type FastifyRequest } from "fastify";
import type { ConfigurationStatus } from "./configuration.ts";

const largestBodyBytes = 64 * 1024;
const handshakeTimeoutMs = 10_000;

/** What `GET /v1/status` tells. */
export interface AdminStatus {
  readonly configuration: ConfigurationStatus;
  readonly tenants: readonly string[];
  /** Replicas alive, by service. */
  readonly services: Readonly<Record<string, number>>;
}

export interface AdminOptions {
  readonly token: string;
  readonly allowedHosts: readonly string[];
  readonly tls?: ServedCertificate | undefined;
}

/** The operators' API. Every route takes `Authorization: Bearer <token>`, known and unknown ones alike. */
export function createAdmin({ token, allowedHosts, tls }: AdminOptions, status: () => AdminStatus): FastifyInstance {
  const guard = createGuard({ allowedHosts, allowedOrigins: [] });
  const server = fastify({
    bodyLimit: largestBodyBytes,
    forceCloseConnections: true,
    ...(tls !== undefined && { https: { ...tls.context, handshakeTimeout: handshakeTimeoutMs } }),
  }) as FastifyInstance;
  tls?.follow(server.server as unknown as TlsServer);
  const expected = sha256(token);
  server.addHook("onRequest", async (request) => {
    guard(request.headers);
    if (!timingSafeEqual(sha256(bearerOf(request)), expected)) {
      throw new Fault("unauthorized", "send the admin token as Authorization: Bearer <token>");
    }
  });
  server.setErrorHandler((error, _request, reply) => {
    const fault = isClientError(error) ? new Fault("invalid_request", error.message) : toFault(error);
    if (fault.kind === "unauthorized") void reply.header("www-authenticate", "Bearer");
    return reply.code(fault.row.status).send(faultBody(fault));
  });
  server.setNotFoundHandler(() => {
    throw new Fault("not_found", "there is no such resource");
  });
  server.get("/v1/status", async () => status());
  return server;
}

function bearerOf(request: FastifyRequest): string {
  return /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function isClientError(error: unknown): error is Error {
  const status = (error as { statusCode?: number }).statusCode;
  return error instanceof Error && status !== undefined && status >= 400 && status < 500;
}
