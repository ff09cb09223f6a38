import { readFile } from "node:fs/promises";
import type { VaultSettings } from "./settings.ts";
import type { VaultAnswer, VaultHttp } from "./vault-http.ts";
import { VaultProblem } from "./vault-problem.ts";

/** A token and how long it lives. */
export interface Grant {
  readonly token: string;
  /** Undefined where it never ends. */
  readonly ttlMs: number | undefined;
  readonly renewable: boolean;
}

type Login = (settings: VaultSettings, http: VaultHttp) => Promise<Grant>;

/** The ways to log in; one more is a line here and its settings in settings.ts. */
const logins: Readonly<Record<VaultSettings["AUTH_METHOD"], Login>> = {
  token: async ({ TOKEN, TOKEN_FILE }, http) => {
    const token = TOKEN ?? (await textOf("VAULT_TOKEN_FILE", TOKEN_FILE));
    const { data } = await http.ask({ method: "GET", path: "auth/token/lookup-self", token });
    const { ttl, renewable } = (data ?? {}) as { ttl?: unknown; renewable?: unknown };
    return grantOf({ client_token: token, lease_duration: ttl, renewable });
  },
  approle: async (settings, http) => {
    const role_id = settings.ROLE_ID ?? (await textOf("VAULT_ROLE_ID_FILE", settings.ROLE_ID_FILE));
    const { SECRET_ID_FILE } = settings;
    const fromFile = SECRET_ID_FILE === undefined ? undefined : await textOf("VAULT_SECRET_ID_FILE", SECRET_ID_FILE);
    const secret_id = settings.SECRET_ID ?? fromFile;
    return await loginAt(settings, http, { role_id, ...(secret_id !== undefined && { secret_id }) });
  },
  kubernetes: async (settings, http) => {
    const jwt = await textOf("VAULT_JWT_FILE", settings.JWT_FILE);
    return await loginAt(settings, http, { role: settings.ROLE, jwt });
  },
};

/** Logs in with what is in the environment and in files now. @throws VaultProblem */
export async function logIn(settings: VaultSettings, http: VaultHttp): Promise<Grant> {
  try {
    return await logins[settings.AUTH_METHOD](settings, http);
  } catch (error) {
    const problem = VaultProblem.of(error);
    const { status } = problem;
    if (status === undefined || status < 400 || status >= 500 || status === 429) throw problem;
    throw new VaultProblem(`Vault refuses the login by ${settings.AUTH_METHOD} (${status})`, { status });
  }
}

/** Reads the token in an answer. @throws VaultProblem where there is none */
export function grantOf(auth: VaultAnswer["auth"]): Grant {
  const { client_token, lease_duration, renewable } = (auth ?? {}) as Record<string, unknown>;
  if (typeof client_token !== "string" || !/^[\x21-\x7e]+$/.test(client_token))
    throw new VaultProblem("Vault's answer holds no token");
  const ttlMs = typeof lease_duration === "number" && lease_duration > 0 ? lease_duration * 1000 : undefined;
  return { token: client_token, ttlMs, renewable: renewable === true };
}

async function loginAt(settings: VaultSettings, http: VaultHttp, body: Record<string, unknown>): Promise<Grant> {
  const mount = (settings.AUTH_MOUNT ?? settings.AUTH_METHOD).replaceAll(/^\/+|\/+$/g, "");
  const { auth } = await http.ask({ method: "POST", path: `auth/${mount}/login`, body });
  return grantOf(auth);
}

async function textOf(variable: string, path: string | undefined): Promise<string> {
  try {
    return (await readFile(path ?? "", "utf8")).trim();
  } catch (error) {
    throw new VaultProblem(`the file of ${variable} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
