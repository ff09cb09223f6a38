import { hash } from "node:crypto";

/** What somebody may do, and what that brings along: who changes the configuration need not read what calls said. */
const granted = {
  auditor: ["auditor"],
  admin: ["auditor", "admin"],
  "content-auditor": ["auditor", "content-auditor"],
} as const;
export type Role = keyof typeof granted;
export const roles = Object.keys(granted) as readonly Role[];

/** Who calls the admin API. */
export interface Operator {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly expiresAtMs?: number;
}

/** An operator as the operators file has it. */
export interface OperatorEntry extends Operator {
  /** SHA-256 of each token, in hex. */
  readonly hashes: readonly string[];
}

/** The operator that `ADMIN_TOKEN` stands for. */
export const rootOperator: Operator = { name: "admin", roles: ["admin"] };

/** A shorter token opens nothing, whatever the operators file says. */
export const shortestToken = 32;

/** Who may use the admin API. Tokens are known by their hash alone, so looking one up tells nothing of it by its time. */
export class Operators {
  readonly #rootHash: string;
  #byHash = new Map<string, OperatorEntry>();

  constructor(adminToken: string) {
    this.#rootHash = sha256(adminToken);
    this.replace([]);
  }

  /** Takes the place of all operators but the one of `ADMIN_TOKEN`. */
  replace(entries: readonly OperatorEntry[]): void {
    const byHash = new Map(entries.flatMap((entry) => entry.hashes.map((text) => [text, entry] as const)));
    byHash.set(this.#rootHash, { ...rootOperator, hashes: [this.#rootHash] });
    this.#byHash = byHash;
  }

  /** Whether there is an operator of this name who may still come, whatever their token. */
  knows(name: string, now = Date.now()): boolean {
    return [...this.#byHash.values()].some((entry) => entry.name === name && isCurrent(entry, now));
  }

  find(token: string, now = Date.now()): Operator | undefined {
    if (token.length < shortestToken) return undefined;
    const entry = this.#byHash.get(sha256(token));
    return entry !== undefined && isCurrent(entry, now) ? entry : undefined;
  }
}

/** Whether who has these roles may do what takes that one. */
export function covers(has: readonly Role[], needed: Role): boolean {
  return has.some((role) => (granted[role] as readonly Role[]).includes(needed));
}

function isCurrent({ expiresAtMs = Infinity }: Operator, now: number): boolean {
  return expiresAtMs > now;
}

function sha256(text: string): string {
  return hash("sha256", text, "hex");
}
