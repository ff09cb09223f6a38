import {
  allowInsecureRequests,
  customFetch,
  discoveryRequest,
  processDiscoveryResponse,
  type AuthorizationServer,
} from "oauth4webapi";
import { request, type Dispatcher } from "undici";
import { ServerProblem } from "./server-problem.ts";

const maxAnswerBytes = 256 * 1024;

/** RFC 6749 §5.2 and RFC 8707 §2; other codes are not repeated, for they could be anything that was sent. */
const errorCodes = new Set([
  ...["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"],
  ...["invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable"],
]);

/** What an address is reached through. @throws ServerProblem where it must not be asked */
export type Reach = (url: URL) => Dispatcher;

/** What every request of oauth4webapi is made with: it follows no redirect and reads no more than a bounded answer. */
export function requestOptions(reach: Reach, signal: AbortSignal) {
  return {
    signal,
    // `reach` decides for each address, also for those that metadata names.
    // oxlint-disable-next-line typescript/no-deprecated
    [allowInsecureRequests]: true,
    [customFetch]: async (url: string, { method, headers, body }: FetchOptions) => {
      const answer = await request(url, {
        dispatcher: reach(new URL(url)),
        method,
        headers,
        body: body?.toString() ?? null,
        signal,
      });
      const bytes = await readBounded(answer.body);
      if (answer.statusCode !== 200) throw refusal(answer.statusCode, bytes);
      const type = String(answer.headers["content-type"] ?? "");
      return new Response(bytes, { status: 200, headers: { "content-type": type } });
    },
  } as const;
}

interface FetchOptions {
  readonly method: "GET" | "POST";
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | undefined;
}

/**
 * The metadata of an authorization server (RFC 8414, else OpenID Connect Discovery), which must name the issuer that
 * was asked for, in every character (RFC 8414 §3.3).
 */
export async function discover(
  issuer: string,
  options: ReturnType<typeof requestOptions>,
): Promise<AuthorizationServer> {
  const identifier = new URL(issuer);
  const ask = (algorithm: "oauth2" | "oidc") => discoveryRequest(identifier, { ...options, algorithm });
  const response = await ask("oauth2").catch((error: unknown) => {
    const { status = 0 } = error as ServerProblem;
    if (error instanceof ServerProblem && status >= 400 && status < 500) return ask("oidc");
    throw error;
  });
  const metadata = await processDiscoveryResponse(identifier, response);
  if (metadata.issuer !== issuer) throw new ServerProblem("its metadata names another issuer than the configuration");
  return metadata;
}

/** A whole answer, where it is of a size that such answers have. @throws ServerProblem */
export async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > maxAnswerBytes) throw new ServerProblem("its answer is too large");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function refusal(status: number, body: Buffer): ServerProblem {
  const code = errorCodeOf(body);
  return new ServerProblem(`it answered ${status}${code === undefined ? "" : ` ${code}`}`, status);
}

function errorCodeOf(body: Buffer): string | undefined {
  try {
    const { error } = JSON.parse(body.toString("utf8")) as { error?: unknown };
    return typeof error === "string" && errorCodes.has(error) ? error : undefined;
  } catch {
    return undefined;
  }
}
