import type { X509Certificate } from "node:crypto";
import { certificatesIn, readAuthorities, watchFile } from "@sluice/runtime";
import type { AuthContext } from "./auth-method.ts";

const setting = "TLS_CLIENT_CA_FILE";

/** What TLS_CLIENT_CA_FILE holds: authorities that vouch for no agent by themselves, but may stand between one and its tenant's. */
export class FurtherAuthorities implements Disposable {
  readonly #watch: Disposable | undefined;
  #certificates: readonly X509Certificate[] = [];

  /** @throws ConfigError where the file can't be used; later what it held before stays. */
  constructor({ config, log }: Pick<AuthContext, "config" | "log">, onChange: () => void) {
    const { TLS_CLIENT_CA_FILE: path } = config;
    if (path === undefined) return;
    const read = () => readAuthorities({ setting, path });
    let seen = read();
    let problem: string | undefined;
    this.#certificates = certificatesIn(seen);
    this.#watch = watchFile(path, () => {
      try {
        const text = read();
        problem = undefined;
        if (text === seen) return;
        seen = text;
        this.#certificates = certificatesIn(text);
        onChange();
      } catch (error) {
        const { message } = error as Error;
        if (message !== problem) log.error({ problem: message }, "client certificates: files can't be used");
        problem = message;
      }
    });
  }

  get certificates(): readonly X509Certificate[] {
    return this.#certificates;
  }

  get pems(): string[] {
    return this.#certificates.map(String);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }
}
