import { Counter } from "@sluice/telemetry";
import type { ProviderContext, SecretProvider, Told, Watch } from "../../provider.ts";
import { VaultPage } from "./page.ts";
import { VaultSession } from "./session.ts";
import { readVaultSettings, type VaultSettings } from "./settings.ts";
import { VaultHttp } from "./vault-http.ts";
import type { VaultProblem } from "./vault-problem.ts";

/** `${vault:PATH#KEY}`: one key of what HashiCorp Vault or OpenBao has at a path, followed as it changes there. */
export function vaultProvider(context: ProviderContext): SecretProvider {
  const settings = readVaultSettings(context.env);
  if ("wrong" in settings) return unusable(settings.wrong);
  if (new URL(settings.ADDR).protocol === "http:")
    context.log.warn({ address: settings.ADDR }, "Vault is asked in clear: secrets can be read on the way");
  return new Vault(settings, context);
}

function unusable(problem: string): SecretProvider {
  return {
    watch: (_place, told) => {
      told.problem(problem);
      return { [Symbol.dispose]: () => {} };
    },
  };
}

class Vault implements SecretProvider, AsyncDisposable {
  readonly #http: VaultHttp;
  readonly #session: VaultSession;
  readonly #refreshMs: number;
  readonly #failed: (operation: "login" | "renew" | "read", problem: VaultProblem) => void;
  readonly #pages = new Map<string, VaultPage>();

  constructor(settings: VaultSettings, { log, metrics }: ProviderContext) {
    const failures = new Counter({
      name: "sluice_vault_failures_total",
      help: "Times that Vault did not log this service in, renew a token or lease, or give a secret",
      labelNames: ["operation"],
      registers: metrics === undefined ? [] : [metrics],
    });
    this.#failed = (operation, problem) => {
      failures.inc({ operation });
      if (operation !== "read") log.warn({ operation, problem: problem.message }, "Vault failed");
    };
    this.#http = new VaultHttp(settings);
    this.#session = new VaultSession({ settings, http: this.#http, failed: this.#failed });
    this.#refreshMs = settings.REFRESH_SECONDS * 1000;
  }

  watch(place: string, told: Told): Watch {
    const [path = "", key = ""] = place.split("#", 2);
    const watch = this.#page(path).follow(key, told);
    return {
      ...watch,
      [Symbol.dispose]: () => {
        watch[Symbol.dispose]();
        this.#forget(path);
      },
    };
  }

  #page(path: string): VaultPage {
    const known = this.#pages.get(path);
    if (known !== undefined) return known;
    const page = new VaultPage({
      path,
      session: this.#session,
      refreshMs: this.#refreshMs,
      failed: this.#failed,
    });
    this.#pages.set(path, page);
    return page;
  }

  #forget(path: string): void {
    const page = this.#pages.get(path);
    if (page?.isUnused !== true) return;
    page[Symbol.dispose]();
    this.#pages.delete(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const page of this.#pages.values()) page[Symbol.dispose]();
    this.#session[Symbol.dispose]();
    await this.#http[Symbol.asyncDispose]();
  }
}
