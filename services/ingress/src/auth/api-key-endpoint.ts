import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { Fault, type ApiKeyMethod } from "@sluice/contracts";
import { isOutage, problemOf, readBounded, ServerProblem } from "@sluice/oauth";
import { requireStrong } from "@sluice/secrets";
import { request } from "undici";
import type { Principal } from "../tenants.ts";
import { AskedCredentials, InvalidCredential, type Finding } from "./asked-credentials.ts";
import { authProblem, type Answered, type AuthContext, type AuthMethod, type AuthProblem } from "./auth-method.ts";
import { identityReader, isBounded, scopesIn, type Claims, type Identity } from "./claims.ts";
import { Gate, Outage } from "./gate.ts";
import { longestKey } from "./api-key.ts";

const timeoutMs = 5_000;
const cannotTell = "the API key cannot be verified at the moment";
/** What says that the key is no good; any other error says nothing of it. */
const refusals = new Set([400, 401, 403, 404, 410, 422]);

/** What says so of the gateway's own credentials, where it shows some. */
const refusalsOfGateway = new Set([401, 403]);

interface KeyEndpoint {
  /** Two of the same are interchangeable. */
  readonly name: string;
  readonly tenant: string;
  readonly settings: ApiKeyMethod;
  readonly headerName: string;
  readonly identityOf: (claims: Claims) => Identity | undefined;
  readonly gate: Gate;
  readonly asked: AskedCredentials;
}

/** API keys that an endpoint of the tenant's validates (seed 001 §2). */
class ApiKeyEndpoints implements AuthMethod {
  readonly name = "apiKeyEndpoint";
  readonly #context: AuthContext;
  #endpoints: readonly KeyEndpoint[] = [];
  #sections: SectionMap<"ingress"> = new Map();
  problems: readonly AuthProblem[] = [];

  constructor(context: AuthContext) {
    this.#context = context;
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#sections = sections;
    const problems: AuthProblem[] = [];
    const wanted = [...sections].flatMap(([tenant, { keyEndpoints }]) =>
      keyEndpoints.map((settings) => ({ tenant, settings })),
    );
    this.#endpoints = wanted.flatMap(({ tenant, settings }) => {
      try {
        const name = JSON.stringify([tenant, settings]);
        const same = this.#endpoints.find((endpoint) => endpoint.name === name);
        if (same !== undefined) return [same];
        this.#context.reach(new URL(settings.validationEndpoint ?? ""));
        credentialsOf(settings, this.#context.secrets);
        return [this.#open(name, { tenant, settings })];
      } catch (error) {
        problems.push(authProblem(`tenant ${tenant}, validationEndpoint`, error));
        return [];
      }
    });
    this.problems = problems;
  }

  secretChanged(): void {
    this.configure(this.#sections);
  }

  /** A key is shown to one endpoint alone: the one whose header and prefix it has, else the one of its header without a prefix. */
  authenticate({ headers }: Pick<IncomingMessage, "headers">): Answered {
    const shown = this.#endpoints.flatMap((endpoint) => {
      const key = headers[endpoint.headerName];
      const isKey = typeof key === "string" && key.length > 0 && key.length <= longestKey;
      const prefix = endpoint.settings.keyPrefix ?? "";
      return isKey && key.startsWith(prefix) ? [{ endpoint, key, prefix }] : [];
    });
    const [first, ...others] = shown.some(({ prefix }) => prefix !== "")
      ? shown.filter(({ prefix }) => prefix !== "")
      : shown;
    if (first === undefined) return undefined;
    if (others.length > 0) throw new InvalidCredential();
    return first.endpoint.asked.authenticate(first.key);
  }

  knows(principal: Principal): boolean {
    return this.#endpoints.some(({ tenant, asked }) => tenant === principal.tenant && asked.knows(principal));
  }

  #open(name: string, { tenant, settings }: Pick<KeyEndpoint, "tenant" | "settings">): KeyEndpoint {
    const endpoint: KeyEndpoint = {
      name,
      tenant,
      settings,
      headerName: settings.headerName.toLowerCase(),
      identityOf: identityReader(settings.identityExtraction),
      gate: new Gate(),
      asked: new AskedCredentials({
        changed: this.#context.changed,
        ask: (key, isKnown) => endpoint.gate.pass(isKnown, () => this.#ask(endpoint, key)),
      }),
    };
    return endpoint;
  }

  async #ask({ tenant, settings, identityOf }: KeyEndpoint, key: string): Promise<Finding> {
    const { log, reach, secrets } = this.#context;
    const { validationEndpoint: url = "", validationCredentials: credentials } = settings;
    try {
      const { statusCode, body } = await request(url, {
        method: "POST",
        dispatcher: reach(new URL(url)),
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          ...credentialsOf(settings, secrets),
        },
        body: JSON.stringify({ apiKey: key }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const bytes = await readBounded(body);
      const now = Date.now();
      if (credentials !== undefined && refusalsOfGateway.has(statusCode)) {
        secrets.again(credentials.value);
        throw new ServerProblem(`it refused the gateway's own credentials (${statusCode})`, statusCode);
      }
      if (refusals.has(statusCode)) return { untilMs: now };
      if (statusCode !== 200) throw new ServerProblem(`it answered ${statusCode}`, statusCode);
      const claims = claimsOf(bytes);
      const identity = isValid(claims) ? identityOf(claims) : undefined;
      const scopes = scopesIn(claims);
      if (identity === undefined || !isBounded(scopes)) return { untilMs: now };
      const principal = { ...identity, tenant, method: this.name, issuer: new URL(url).origin, scopes };
      return { principal, untilMs: now + settings.cacheSeconds * 1_000 };
    } catch (error) {
      log.warn(
        { tenant, problem: `validation at ${new URL(url).origin}: ${problemOf(error)}` },
        "a key was not verified",
      );
      if (isOutage(error)) throw new Outage(cannotTell);
      throw new Fault("upstream_unavailable", cannotTell);
    }
  }
}

export const apiKeyEndpoint = (context: AuthContext): AuthMethod => new ApiKeyEndpoints(context);

/** Whoever says no in an answer of 200 is heard too. */
function isValid({ valid, active }: Claims): boolean {
  return valid !== false && active !== false;
}

function claimsOf(bytes: Buffer): Claims {
  try {
    const answer: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof answer === "object" && answer !== null) return answer as Claims;
  } catch {
    // Said below.
  }
  throw new ServerProblem("its answer is no JSON object");
}

/** @throws Error that names the reference */
function credentialsOf(
  { validationCredentials: shown }: ApiKeyMethod,
  secrets: AuthContext["secrets"],
): Record<string, string> {
  if (shown === undefined) return {};
  const value = requireStrong(shown.value, secrets.value(shown.value));
  return { [shown.headerName.toLowerCase()]: shown.prefix === undefined ? value : `${shown.prefix} ${value}` };
}
