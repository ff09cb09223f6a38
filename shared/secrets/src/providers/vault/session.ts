import { grantOf, logIn, type Grant } from "./login.ts";
import { pauseMs, renewAfter, soonestMs, spread, tooLittle } from "./pauses.ts";
import type { VaultSettings } from "./settings.ts";
import type { VaultAnswer, VaultHttp, VaultRequest } from "./vault-http.ts";
import { VaultProblem } from "./vault-problem.ts";

export interface SessionOptions {
  readonly settings: VaultSettings;
  readonly http: VaultHttp;
  readonly failed: (operation: "login" | "renew", problem: VaultProblem) => void;
}

/** One token for all readings: got when it is first needed, renewed in time, replaced where it can't be or was revoked. */
export class VaultSession implements Disposable {
  readonly #options: SessionOptions;
  readonly #onReplaced = new Set<() => void>();
  #grant: Grant | undefined;
  #firstTtlMs = 0;
  #loggingIn: Promise<Grant> | undefined;
  #failure: VaultProblem | undefined;
  #failures = 0;
  #pauseUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Calls back when another token replaced one: what was leased with that one ends with it. */
  onReplaced(heed: () => void): Disposable {
    this.#onReplaced.add(heed);
    return { [Symbol.dispose]: () => void this.#onReplaced.delete(heed) };
  }

  /** Asks with the token; once more where the token turns out to be dead. @throws VaultProblem */
  async ask(request: Omit<VaultRequest, "token">): Promise<VaultAnswer> {
    const { http } = this.#options;
    const { token } = await this.#granted();
    try {
      return await http.ask({ ...request, token });
    } catch (error) {
      const isDenied = VaultProblem.of(error).status === 403;
      if (!isDenied || !(await this.#isDead(token))) throw error;
      if (this.#grant?.token === token) this.#grant = undefined;
      return await http.ask({ ...request, token: (await this.#granted()).token });
    }
  }

  /** Whether it is the token that is refused, and not what it asked for. */
  async #isDead(token: string): Promise<boolean> {
    try {
      await this.#options.http.ask({ method: "GET", path: "auth/token/lookup-self", token });
      return false;
    } catch (error) {
      return VaultProblem.of(error).status === 403;
    }
  }

  async #granted(): Promise<Grant> {
    if (this.#grant !== undefined) return this.#grant;
    if (this.#loggingIn === undefined && this.#failure !== undefined && performance.now() < this.#pauseUntil)
      throw this.#failure;
    return await this.#logIn();
  }

  #logIn(): Promise<Grant> {
    this.#loggingIn ??= this.#logInOnce().finally(() => (this.#loggingIn = undefined));
    return this.#loggingIn;
  }

  async #logInOnce(): Promise<Grant> {
    const { settings, http, failed } = this.#options;
    try {
      await http.reopen();
      const grant = await logIn(settings, http);
      const isAnother = this.#firstTtlMs > 0 && this.#grant?.token !== grant.token;
      this.#failure = undefined;
      this.#failures = 0;
      this.#firstTtlMs = grant.ttlMs ?? Number.MAX_SAFE_INTEGER;
      this.#keep(grant);
      if (isAnother) for (const heed of this.#onReplaced) heed();
      return grant;
    } catch (error) {
      this.#failure = VaultProblem.of(error);
      this.#pauseUntil = performance.now() + pauseMs(++this.#failures);
      failed("login", this.#failure);
      throw this.#failure;
    }
  }

  #keep(grant: Grant): void {
    this.#grant = grant;
    if (grant.ttlMs !== undefined) this.#prolongIn(Math.max(soonestMs, spread(grant.ttlMs * renewAfter)));
  }

  #prolongIn(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#over) this.#timer = setTimeout(() => void this.#prolong(), ms).unref();
  }

  /** The token in use stays until there is another one, or until it is refused. */
  async #prolong(): Promise<void> {
    const { http, failed } = this.#options;
    const grant = this.#grant;
    if (grant === undefined) return;
    try {
      const renewed = grant.renewable ? await renew(grant, http) : undefined;
      if (renewed !== undefined && (renewed.ttlMs ?? Infinity) > this.#firstTtlMs * tooLittle) this.#keep(renewed);
      else await this.#logIn();
      this.#failures = 0;
    } catch (error) {
      const problem = VaultProblem.of(error);
      if (problem !== this.#failure) failed("renew", problem);
      this.#prolongIn(pauseMs(++this.#failures));
    }
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}

/** Undefined where Vault will not renew this one. */
async function renew({ token }: Grant, http: VaultHttp): Promise<Grant | undefined> {
  try {
    const { auth } = await http.ask({ method: "POST", path: "auth/token/renew-self", token, body: {} });
    return grantOf(auth);
  } catch (error) {
    const { status = 0 } = VaultProblem.of(error);
    if (status === 400 || status === 403 || status === 404) return undefined;
    throw error;
  }
}
