import type { Protocol } from "@sluice/contracts";
import { SecretProblem } from "@sluice/secrets";

/** An endpoint that can't be used, because of its secrets for the most part: calls to it are refused. */
export interface ClosedEndpoint {
  readonly tenant: string;
  /** Its name: servers and agents may have the same. */
  readonly server: string;
  readonly protocol: Protocol;
  /** Why, without a secret. */
  readonly problem: string;
  /** It may pass without anybody mending the configuration or a secret. */
  readonly isTemporary: boolean;
}

interface Place {
  readonly tenant: string;
  readonly protocol: Protocol;
  readonly endpoint: { readonly name: string };
}

export function closedBy(error: unknown, { tenant, protocol, endpoint: { name } }: Place): ClosedEndpoint {
  const what = protocol === "mcp" ? "endpoint" : "agent";
  const problem = `tenant ${tenant}, ${what} ${name}: ${(error as Error).message}`;
  return { tenant, server: name, protocol, problem, isTemporary: error instanceof SecretProblem && error.isTemporary };
}

/** What is to be mended under one version of the configuration. */
export class ClosedEndpoints {
  readonly #closed = new Map<string, ClosedEndpoint>();
  /** Open ones with a changed secret that is of no use. */
  readonly #outdated = new Map<string, ClosedEndpoint>();

  close(endpoint: ClosedEndpoint): void {
    this.#closed.set(keyOf(endpoint), endpoint);
  }

  /** It goes on with an older secret. */
  leaveOpen(endpoint: ClosedEndpoint): void {
    this.#outdated.set(keyOf(endpoint), endpoint);
  }

  open(tenant: string, server: string): void {
    const key = keyOf({ tenant, server });
    this.#closed.delete(key);
    this.#outdated.delete(key);
  }

  get all(): readonly ClosedEndpoint[] {
    return [...this.#closed.values()];
  }

  get problems(): string[] {
    const outdated = [...this.#outdated.values()].map(({ problem }) => `${problem}; what was in use stays`);
    return [...this.all.map(({ problem }) => problem), ...outdated];
  }
}

function keyOf({ tenant, server }: Pick<ClosedEndpoint, "tenant" | "server">): string {
  return `${tenant}/${server}`;
}
