import type { ConfHistory, EditionAbout } from "@sluice/bus";
import { Fault } from "@sluice/contracts";
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import type { Configuration, Restored } from "./configuration.ts";

/** Comparing two texts that have little in common takes long; nobody waits longer. */
const diffTimeoutMs = 2_000;

export interface EditionsOptions {
  readonly history: ConfHistory;
  readonly configuration: Configuration;
  /** Called where the file was written and the bus does not take it. */
  readonly onNotTaken: () => void;
}

/** An edition with its text. */
export interface KeptEdition {
  readonly about: EditionAbout;
  readonly text: string;
}

/** Reads earlier versions of the configuration, compares them, and goes back to them. */
export class Editions {
  readonly #options: EditionsOptions;

  constructor(options: EditionsOptions) {
    this.#options = options;
  }

  /** The version in force, and those that are kept, the newest first. @throws Fault */
  async list(): Promise<{ current: number; editions: EditionAbout[] }> {
    const editions = await this.#options.history.list().catch(notReadable);
    return { current: this.#current, editions };
  }

  /** @param version the one in force where it is not said. @throws Fault */
  async find(version = this.#current): Promise<KeptEdition> {
    const found = await this.#options.history.find(version).catch(notReadable);
    if (found === undefined)
      throw new Fault("not_found", `version ${version} is not kept: GET /v1/conf/history lists those that are`);
    const { about, text } = found;
    if (text === undefined)
      throw new Fault("conflict", `the text of version ${version} was larger than CONF_HISTORY_MAX_BYTES and not kept`);
    return { about, text };
  }

  /** What changed from one version to another. Without `to` to the one in force, without `from` from the one before; empty where nothing did. @throws Fault */
  async diff(from: number | undefined, to = this.#current): Promise<{ from: number; to: number; diff: string }> {
    const before = from ?? (await this.#before(to));
    const [one, other] = [await this.find(before), await this.find(to)];
    if (one.text === other.text) return { from: before, to, diff: "" };
    const diff = createTwoFilesPatch(nameOf(one), nameOf(other), one.text, other.text, timeOf(one), timeOf(other), {
      headerOptions: FILE_HEADERS_ONLY,
      timeout: diffTimeoutMs,
    });
    if (diff === undefined)
      throw new Fault("conflict", "these versions have too little in common to be compared: get each of them");
    return { from: before, to, diff };
  }

  /** Puts the text of an earlier version back into the file and into force. @throws Fault */
  async rollback(version: number, operator: string): Promise<Restored> {
    const { text } = await this.find(version);
    try {
      const by = { kind: "rollback", operator, to: version } as const;
      return await this.#options.configuration.restore(text, by, `version ${version}`);
    } catch (error) {
      if (error instanceof Fault && error.kind === "unavailable") this.#options.onNotTaken();
      throw error;
    }
  }

  get #current(): number {
    return this.#options.configuration.status.version;
  }

  async #before(version: number): Promise<number> {
    const { editions } = await this.list();
    const found = editions.find((edition) => edition.version < version);
    if (found === undefined) throw new Fault("not_found", `no version before ${version} is kept`);
    return found.version;
  }
}

const nameOf = ({ about }: KeptEdition) => `version ${about.version}`;
const timeOf = ({ about }: KeptEdition) => new Date(about.at).toISOString();

function notReadable(error: unknown): never {
  throw new Fault("unavailable", "the kept versions can't be read at the moment", { cause: error });
}
