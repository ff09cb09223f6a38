import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Conf } from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import { ConfProblems, lineOf, unreadable, type Problem } from "./conf-problems.ts";
import { readConf } from "./read-conf.ts";

/** What is in force, and why a later edit is not. */
export interface ConfigurationStatus {
  readonly version: number;
  readonly loadedAt: string;
  /** Whether what stands in the file is not what is in force. */
  readonly stale: boolean;
  /** Why the file as it is now is not in force: a line for each problem, and the same in parts. */
  readonly error?: string;
  readonly problems?: readonly Problem[];
  /** What is in force and most likely not what was meant. */
  readonly warnings?: readonly string[];
  /** Why the bus does not take the configuration; it is tried again. */
  readonly publishing?: string;
}

export interface ConfigurationOptions {
  readonly file: string;
  /** Which addresses it may name. */
  readonly guard: AddressGuard;
  /** Makes this configuration the current one everywhere; resolves with its version. */
  readonly publish: (conf: Conf, edition: { digest: string; after: number }) => Promise<number>;
  /** What the services hold of an earlier run. */
  readonly published: () => Promise<{ version: number; tenants: readonly string[] } | undefined>;
  readonly onPublishFailed: () => void;
  readonly onRefused: (error: ConfProblems) => void;
  readonly onPublished: (version: number, warnings: readonly string[]) => void;
}

/** What is in force, and the text that says so. */
export interface Accepted {
  readonly conf: Conf;
  readonly file: string;
  readonly text: string;
  readonly digest: string;
  readonly warnings: readonly string[];
}

/** One file of configuration, kept published. A broken edit is refused whole and the last good one stays. */
export class Configuration {
  readonly #options: ConfigurationOptions;
  #text: string | undefined;
  #good: Accepted | undefined;
  /** Whose tenants the services hold, where the file is broken from the start. */
  #earlierTenants: readonly string[] = [];
  #version = 0;
  #loadedAt = new Date(0);
  #refused: ConfProblems | undefined;
  #publishing: string | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ConfigurationOptions) {
    this.#options = options;
  }

  get status(): ConfigurationStatus {
    return {
      version: this.#version,
      loadedAt: this.#loadedAt.toISOString(),
      stale: this.#refused !== undefined || this.#publishing !== undefined,
      ...(this.#refused !== undefined && { error: this.#refused.message, problems: this.#refused.problems }),
      ...(this.#good !== undefined && this.#good.warnings.length > 0 && { warnings: this.#good.warnings }),
      ...(this.#publishing !== undefined && { publishing: this.#publishing }),
    };
  }

  /** Undefined where the file is broken since the start of this process. */
  get inForce(): Accepted | undefined {
    return this.#good;
  }

  get tenants(): readonly string[] {
    return this.#good === undefined ? this.#earlierTenants : Object.keys(this.#good.conf.tenants);
  }

  /**
   * Reads and publishes for the first time. A broken file leaves in force what the services hold.
   * @throws ConfProblems where they hold nothing, and for keys and secrets that protect nothing.
   */
  async open(): Promise<void> {
    try {
      this.#text = await this.#readText();
      this.#good = this.#accept(this.#text);
    } catch (error) {
      if (!(error instanceof ConfProblems) || error.insecure) throw error;
      const earlier = await this.#options.published();
      if (earlier === undefined) throw error;
      this.#version = earlier.version;
      this.#earlierTenants = earlier.tenants;
      this.#loadedAt = new Date();
      this.#refuse(error);
      return;
    }
    await this.#publish();
  }

  /** Looks whether the file changed, and publishes it where it did and is good. Never two at once. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#readAgain();
      } catch (error) {
        if (!(error instanceof ConfProblems)) throw error;
        this.#refuse(error);
      }
    });
  }

  /** Publishes what is in force where the bus does not hold it (any more). */
  republish(): Promise<void> {
    return this.#inTurn(() => this.#publish());
  }

  #refuse(error: ConfProblems): void {
    if (this.#refused?.message === error.message) return;
    this.#refused = error;
    this.#options.onRefused(error);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #readAgain(): Promise<void> {
    const before = this.#text;
    this.#text = undefined;
    this.#text = await this.#readText();
    if (this.#text === before) return;
    const read = this.#accept(this.#text);
    this.#refused = undefined;
    const isSame = read.digest === this.#good?.digest;
    this.#good = read;
    if (isSame) return;
    await this.#publish();
  }

  async #publish(): Promise<void> {
    if (this.#good === undefined) return;
    const { conf, digest, warnings } = this.#good;
    const version = await this.#tryToPublish(conf, digest);
    if (version === this.#version) return;
    this.#version = version;
    this.#loadedAt = new Date();
    this.#options.onPublished(version, warnings);
  }

  async #tryToPublish(conf: Conf, digest: string): Promise<number> {
    try {
      const version = await this.#options.publish(conf, { digest, after: this.#version });
      this.#publishing = undefined;
      return version;
    } catch (error) {
      this.#publishing = error instanceof Error ? error.message : "unknown";
      this.#options.onPublishFailed();
      throw error;
    }
  }

  #accept(text: string): Accepted {
    const warnings: string[] = [];
    const { file, guard } = this.#options;
    const conf = readConf(text, { file, guard, warn: (warning) => void warnings.push(lineOf(warning)) });
    return { conf, file, text, warnings, digest: createHash("sha256").update(JSON.stringify(conf)).digest("hex") };
  }

  async #readText(): Promise<string> {
    try {
      return await readFile(this.#options.file, "utf8");
    } catch (error) {
      throw unreadable(this.#options.file, (error as NodeJS.ErrnoException).code);
    }
  }
}
