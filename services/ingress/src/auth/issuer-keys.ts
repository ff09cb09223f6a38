import { assertionAlgorithms, Fault } from "@sluice/contracts";
import { discover, problemOf, requestOptions, ServerProblem, type Reach } from "@sluice/oauth";
import { createRemoteJWKSet, customFetch, errors, jwtVerify, type JWTVerifyGetKey, type RemoteJWKSet } from "jose";
import { customFetch as oauthFetch } from "oauth4webapi";
import type { Claims } from "./claims.ts";

/** What a signature vouches for. */
export interface Signed {
  readonly claims: Claims;
  readonly algorithm: string;
}

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** What the issuer's metadata names unless said. */
  readonly jwksUrl: string | undefined;
  readonly reach: Reach;
  /** Told why keys could not be fetched, for operators. */
  readonly report: (problem: string) => void;
}

const fetchTimeoutMs = 5_000;
const keysServeMs = 600_000;
/** An unknown `kid` has keys fetched anew, but no sooner than this after the last time. */
const coolDownMs = 10_000;
/** After a failure nobody waits for the next. */
const pauseMs = 1_000;
/** Left to the rules of each tenant. */
const mostSkewSeconds = 300;
/** Of an access token (RFC 9068 §2.1) or none in particular: others are for other uses. */
const accessTokenTypes = new Set(["at+jwt", "application/at+jwt", "jwt"]);

/** What is wrong with a token, and not with us or the issuer. */
const refusals: ReadonlySet<string> = new Set([
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
  errors.JWKSMultipleMatchingKeys.code,
  errors.JWKSNoMatchingKey.code,
  errors.JWSInvalid.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JWTClaimValidationFailed.code,
  errors.JWTExpired.code,
  errors.JWTInvalid.code,
]);

/** The keys that an issuer signs with (RFC 7517): fetched when needed, once at a time, and used for ten minutes. */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #keys: RemoteJWKSet;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    this.#keys = createRemoteJWKSet(new URL(options.jwksUrl ?? options.issuer), {
      timeoutDuration: fetchTimeoutMs,
      cooldownDuration: coolDownMs,
      cacheMaxAge: keysServeMs,
      [customFetch]: (_url, { signal }) => this.#fetch(signal),
    });
  }

  /**
   * What the token says, where this issuer signed it and it is an access token of now; undefined where it is not.
   * @throws Fault `upstream_unavailable` where the keys cannot be had
   */
  async verify(token: string): Promise<Signed | undefined> {
    try {
      return await this.#verify(token);
    } catch (error) {
      if (error instanceof errors.JOSEError && refusals.has(error.code)) return undefined;
      if (error instanceof Fault) throw error;
      throw new Fault("upstream_unavailable", "the keys of the token's issuer cannot be had at the moment");
    }
  }

  async #verify(token: string): Promise<Signed | undefined> {
    const verified = await this.#verifyBy(token, this.#keys).catch(async (error: unknown) => {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      for await (const key of error) {
        const found = await this.#verifyBy(token, () => key).catch(() => undefined);
        if (found !== undefined) return found;
      }
      throw error;
    });
    const { payload, protectedHeader } = verified;
    const { typ = "JWT", alg } = protectedHeader;
    return accessTokenTypes.has(typ.toLowerCase()) ? { claims: payload, algorithm: alg } : undefined;
  }

  #verifyBy(token: string, key: JWTVerifyGetKey) {
    const { issuer } = this.#options;
    return jwtVerify(token, key, {
      issuer,
      algorithms: [...assertionAlgorithms],
      clockTolerance: mostSkewSeconds,
      requiredClaims: ["exp"],
    });
  }

  async #fetch(signal: AbortSignal): Promise<Response> {
    if (performance.now() - this.#failedAt < pauseMs) throw new ServerProblem("it failed a moment ago");
    try {
      const { issuer, jwksUrl, reach } = this.#options;
      const options = requestOptions(reach, signal);
      const address = jwksUrl ?? (await discover(issuer, options)).jwks_uri;
      if (address === undefined) throw new ServerProblem("its metadata names no jwks_uri");
      const headers = { accept: "application/json, application/jwk-set+json" };
      return await options[oauthFetch](address, { method: "GET", headers });
    } catch (error) {
      this.#failedAt = performance.now();
      this.#options.report(`keys of ${this.#options.issuer}: ${problemOf(error)}`);
      throw error;
    }
  }
}
