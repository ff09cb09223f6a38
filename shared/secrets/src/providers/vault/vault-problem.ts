/** What Vault did not give, in words that hold nothing of what was sent or answered. */
export class VaultProblem extends Error {
  override readonly name = "VaultProblem";
  /** HTTP status of the answer, where it was the problem. */
  readonly status: number | undefined;
  /** It is about Vault or the way to it, and not about the secret. */
  readonly isTemporary: boolean;

  constructor(message: string, { status, isTemporary = true }: { status?: number; isTemporary?: boolean } = {}) {
    super(message);
    this.status = status;
    this.isTemporary = isTemporary;
  }

  static ofStatus(status: number): VaultProblem {
    const said = meanings[status] ?? (status >= 300 && status < 400 ? redirected : `Vault answers ${status}`);
    return new VaultProblem(said, { status, isTemporary: status !== 404 });
  }

  /** Libraries put requests into their messages; their codes are constants. */
  static of(error: unknown): VaultProblem {
    if (error instanceof VaultProblem) return error;
    const { name, code } = error as { name?: string; code?: unknown };
    if (name === "TimeoutError" || code === "UND_ERR_CONNECT_TIMEOUT")
      return new VaultProblem("Vault does not answer in time");
    return new VaultProblem(`Vault can't be reached (${typeof code === "string" ? code : String(name)})`);
  }
}

const redirected =
  "Vault redirects, and secrets don't follow: name the node that answers, or a balancer, in VAULT_ADDR";

const meanings: Readonly<Record<number, string>> = {
  400: "Vault refuses the request (400)",
  403: "Vault denies it (403): the token's policy must allow to read this path",
  404: "there is nothing at this path (404)",
  429: "Vault has too many requests (429)",
  503: "Vault is sealed or under maintenance (503)",
};
