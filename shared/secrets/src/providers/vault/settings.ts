import { z } from "zod";

const text = z.string().optional();
const seconds = (standard: number, most: number) => {
  const need = `must be a whole number of seconds from 1 to ${most}`;
  return z
    .string()
    .regex(/^\d+s?$/, need)
    .transform((written) => Number.parseInt(written, 10))
    .refine((value) => value >= 1 && value <= most, need)
    .default(standard);
};
const refused = (say: string) =>
  z
    .string()
    .refine((value) => ["0", "false"].includes(value), say)
    .optional();

const schema = z.object({
  ADDR: z.url({ protocol: /^https?$/, error: "must be the https:// URL of Vault" }),
  NAMESPACE: text,
  CACERT: text,
  CAPATH: refused("is not supported: put the certificates into one file and name it in VAULT_CACERT"),
  CLIENT_CERT: text,
  CLIENT_KEY: text,
  TLS_SERVER_NAME: text,
  SKIP_VERIFY: refused("is not supported: name Vault's CA in VAULT_CACERT"),
  CLIENT_TIMEOUT: seconds(10, 300),
  REFRESH_SECONDS: seconds(60, 86_400),
  AUTH_METHOD: z.enum(["token", "approle", "kubernetes"], "must be token, approle or kubernetes").default("token"),
  AUTH_MOUNT: text,
  TOKEN: text,
  TOKEN_FILE: text,
  ROLE_ID: text,
  ROLE_ID_FILE: text,
  SECRET_ID: text,
  SECRET_ID_FILE: text,
  ROLE: text,
  JWT_FILE: z.string().default("/var/run/secrets/kubernetes.io/serviceaccount/token"),
});
export type VaultSettings = z.infer<typeof schema>;

/** What each way to log in needs at least one of. */
const needed: Readonly<Record<VaultSettings["AUTH_METHOD"], readonly (keyof VaultSettings)[]>> = {
  token: ["TOKEN", "TOKEN_FILE"],
  approle: ["ROLE_ID", "ROLE_ID_FILE"],
  kubernetes: ["ROLE"],
};

/** Reads the variables that Vault's own programs read, and a few more; OpenBao's names for them (`BAO_…`) come first. */
export function readVaultSettings(env: NodeJS.ProcessEnv): VaultSettings | { readonly wrong: string } {
  const named: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    const value = (env[`BAO_${name}`] || env[`VAULT_${name}`])?.trim();
    if (value !== undefined && value !== "") named[name] = value;
  }
  const parsed = schema.safeParse(named);
  if (!parsed.success) return { wrong: parsed.error.issues.map(said).join("; ") };
  const settings = parsed.data;
  const either = needed[settings.AUTH_METHOD];
  if (either.every((name) => settings[name] === undefined))
    return { wrong: `to log in by ${settings.AUTH_METHOD}, set ${either.map((name) => `VAULT_${name}`).join(" or ")}` };
  return settings;
}

function said(issue: z.core.$ZodIssue): string {
  return `VAULT_${issue.path.join(".")} ${issue.code === "invalid_type" ? "is missing" : issue.message}`;
}
