import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { EditionOrigin, RecordedEdition } from "@sluice/bus";
import { Fault, type Conf, type Tenant } from "@sluice/contracts";
import type { AddressGuard } from "@sluice/net";
import { ConfProblems, lineOf, unreadable, type Problem } from "./conf-problems.ts";
import { keepCopy, replaceFile } from "./conf-file.ts";
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
  /** Keeps an edition that is in force, with its text; the same one may come again. */
  readonly record: (edition: RecordedEdition) => Promise<void>;
  /** What the services hold of an earlier run. */
  readonly published: () => Promise<{ version: number; tenants: readonly string[] } | undefined>;
  readonly onPublishFailed: () => void;
  readonly onRefused: (error: ConfProblems) => void;
  readonly onPublished: (version: number, accepted: Pick<Accepted, "by" | "warnings">) => void;
}

/** What came of going back to an earlier text. */
export interface Restored {
  /** In force now. */
  readonly version: number;
  /** Where the file is kept that was not in force and had to make room. */
  readonly kept?: string;
}

const fileEdit: EditionOrigin = { kind: "file" };

/** What is in force, and the text that says so. */
export interface Accepted {
  readonly conf: Conf;
  readonly file: string;
  readonly text: string;
  readonly by: EditionOrigin;
  readonly digest: string;
  readonly warnings: readonly string[];
}

/** One file of configuration, kept published. A broken edit is refused whole and the last good one stays. */
export class Configuration {
  readonly #options: ConfigurationOptions;
  #text: string | undefined;
  /** What is about to stand in the file, and by whose doing. */
  #coming: { readonly text: string; readonly by: EditionOrigin } | undefined;
  #good: Accepted | undefined;
  /** Whose tenants the services hold, where the file is broken from the start. */
  #earlierTenants: readonly string[] = [];
  /** The digest of what was published last. */
  #inForce: string | undefined;
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
   * A tenant as it is in force; undefined where there is none of that name.
   * @throws Fault `unavailable` where the file was broken from the start
   */
  tenant(name: string): Tenant | undefined {
    if (this.#good === undefined)
      throw new Fault("unavailable", "tenants.yaml is not usable: GET /v1/status says what is wrong with it");
    const { tenants } = this.#good.conf;
    return Object.hasOwn(tenants, name) ? tenants[name] : undefined;
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
    return this.#inTurn(() => this.#readOrRefuse());
  }

  /** Publishes what is in force where the bus does not hold it (any more). */
  republish(): Promise<void> {
    return this.#inTurn(() => this.#publish());
  }

  /**
   * Puts an earlier text back into the file and into force. What stands there now is recorded before, or kept beside it
   * where it is not in force.
   * @throws Fault `conflict` where the text is not valid any more or the file can't be written
   */
  restore(text: string, by: EditionOrigin, name: string): Promise<Restored> {
    return this.#inTurn(async () => {
      const { file } = this.#options;
      this.#validate(text, name);
      await this.#readOrRefuse().catch(notTaken);
      if (this.#text === text) return { version: this.#version };
      const refused = this.#refused === undefined ? undefined : this.#text;
      const kept = refused === undefined ? undefined : await keepCopy(file, refused);
      this.#coming = { text, by };
      try {
        await replaceFile(file, text);
        await this.#readAgain().catch(notTaken);
      } finally {
        this.#coming = undefined;
      }
      return { version: this.#version, ...(kept !== undefined && { kept }) };
    });
  }

  #validate(text: string, name: string): void {
    try {
      this.#accept(text, { file: name });
    } catch (error) {
      if (!(error instanceof ConfProblems)) throw error;
      const problems = error.problems.map(lineOf);
      throw new Fault("conflict", `${name} is not valid any more: ${problems.join("; ")}`, { details: { problems } });
    }
  }

  #refuse(error: ConfProblems): void {
    if (this.#refused?.message === error.message) return;
    this.#refused = error;
    this.#options.onRefused(error);
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(work);
    this.#turn = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  async #readOrRefuse(): Promise<void> {
    try {
      await this.#readAgain();
    } catch (error) {
      if (!(error instanceof ConfProblems)) throw error;
      this.#refuse(error);
    }
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
    if (isSame) await this.#record();
    else await this.#publish();
  }

  async #publish(): Promise<void> {
    if (this.#good === undefined) return;
    const { conf, digest } = this.#good;
    const version = await this.#tryToPublish(conf, digest);
    this.#inForce = digest;
    if (version !== this.#version) {
      this.#version = version;
      this.#loadedAt = new Date();
      this.#options.onPublished(version, this.#good);
    }
    await this.#record();
  }

  /** What is accepted and not yet in force is recorded once it is. */
  async #record(): Promise<void> {
    if (this.#good === undefined || this.#good.digest !== this.#inForce) return;
    const { conf, digest, text, by } = this.#good;
    const tenants = Object.keys(conf.tenants).length;
    await this.#options.record({ version: this.#version, digest, text, by, tenants });
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

  #accept(text: string, { file = this.#options.file } = {}): Accepted {
    const warnings: string[] = [];
    const { guard } = this.#options;
    const by = this.#coming?.text === text ? this.#coming.by : fileEdit;
    const conf = readConf(text, { file, guard, warn: (warning) => void warnings.push(lineOf(warning)) });
    return { conf, file, text, by, warnings, digest: createHash("sha256").update(JSON.stringify(conf)).digest("hex") };
  }

  async #readText(): Promise<string> {
    try {
      return await readFile(this.#options.file, "utf8");
    } catch (error) {
      throw unreadable(this.#options.file, (error as NodeJS.ErrnoException).code);
    }
  }
}

function notTaken(error: unknown): never {
  if (error instanceof Fault || error instanceof ConfProblems) throw error;
  throw new Fault("unavailable", "the bus does not take the configuration at the moment: it is tried again", {
    cause: error,
  });
}
