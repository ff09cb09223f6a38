import { setTimeout as delay } from "node:timers/promises";
import { readSecretReference, type SecretKind } from "@sluice/contracts";
import { describeError, type Log, type Registry } from "@sluice/telemetry";
import { measureSecrets } from "./metrics.ts";
import type { Problem, Providers, SecretProvider, Told, Watch } from "./provider.ts";
import { providers as allProviders } from "./providers/index.ts";

/** A reference stands for nothing that can be used. The message names the reference and what to mend, never a value. */
export class SecretProblem extends Error {
  override readonly name = "SecretProblem";
  /** It may pass without anybody mending a reference or a secret. */
  readonly isTemporary: boolean;

  constructor(reference: string, reason: string, isTemporary = false) {
    super(`${reference}: ${reason}`);
    this.isTemporary = isTemporary;
  }
}

export interface SecretsOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly metrics?: Registry;
  /** Stand in for the real ones. */
  readonly providers?: Partial<Providers>;
}

/** How it stands with one reference. */
export interface SecretState {
  readonly reference: string;
  /** Whether there is a value, though it may be an older one. */
  readonly usable: boolean;
  /** Why it could not be read (again). */
  readonly problem: Problem | undefined;
}

interface Held {
  watch?: Watch;
  readonly settled: PromiseWithResolvers<void>;
  /** Whoever named it has gone on, with a value or without. */
  isAwaited: boolean;
  value?: string;
  problem?: Problem | undefined;
  lookedAgainAt: number;
}

/** How long a new configuration waits for secrets that it is the first to name. */
const settleMs = 2_000;
/** Whoever refuses every secret makes for one reading in this time. */
const againEveryMs = 10_000;

/**
 * The secrets that the configuration of one service names, each read where its reference points and followed there, so
 * that a changed one is used by the next call. A value once read stays until there is a newer one.
 */
export class Secrets implements AsyncDisposable {
  readonly #options: SecretsOptions;
  readonly #opened = new Map<SecretKind, SecretProvider>();
  readonly #held = new Map<string, Held>();
  readonly #users = new Map<string, ReadonlySet<string>>();
  readonly #turns = new Map<string, number>();
  readonly #heeding = new Set<(reference: string) => void>();
  readonly #measured: ReturnType<typeof measureSecrets>;

  constructor(options: SecretsOptions) {
    this.#options = options;
    this.#measured = measureSecrets(this, options.metrics);
  }

  /**
   * Says what one user, such as a section of the configuration, refers to from now on: what it named before and nobody
   * names any more is forgotten. Resolves when each reference has a value or a problem, or after `waitMs`; false where the
   * same user said something newer meanwhile, which then holds.
   */
  async use(user: string, references: Iterable<string>, waitMs = settleMs): Promise<boolean> {
    const turn = (this.#turns.get(user) ?? 0) + 1;
    this.#turns.set(user, turn);
    const wanted = new Set(references);
    const fresh = [...wanted].filter((reference) => !this.#held.has(reference));
    this.#users.set(user, new Set([...wanted, ...(this.#users.get(user) ?? [])]));
    for (const reference of fresh) this.#open(reference);
    await this.#settled(wanted, waitMs);
    for (const reference of wanted) this.#awaitNoMore(reference);
    if (this.#turns.get(user) !== turn) return false;
    this.#users.set(user, wanted);
    this.#forgetUnused();
    return true;
  }

  /** The value in force. @throws SecretProblem where there is none */
  value(reference: string): string {
    const held = this.#held.get(reference);
    if (held?.value !== undefined) return held.value;
    const { reason, isTemporary } = held?.problem ?? { reason: "it could not be read yet", isTemporary: true };
    throw new SecretProblem(reference, reason, isTemporary);
  }

  /** Calls back when a reference has another value than before, also when it has its first one late. */
  onChange(heed: (reference: string) => void): Disposable {
    this.#heeding.add(heed);
    return { [Symbol.dispose]: () => void this.#heeding.delete(heed) };
  }

  /** Looks at once whether there is a newer value, because this one was refused; at most every 10 s. */
  again(reference: string): void {
    const held = this.#held.get(reference);
    const now = performance.now();
    if (held === undefined || now - held.lookedAgainAt < againEveryMs) return;
    held.lookedAgainAt = now;
    held.watch?.again?.();
  }

  *states(): Iterable<SecretState> {
    for (const [reference, { value, problem }] of this.#held) yield { reference, usable: value !== undefined, problem };
  }

  async #settled(references: Iterable<string>, waitMs: number): Promise<void> {
    const over = new AbortController();
    const tooLong = delay(waitMs, undefined, { signal: over.signal }).catch(() => {});
    const all = [...references].map((reference) => this.#held.get(reference)?.settled.promise ?? Promise.resolve());
    await Promise.race([Promise.all(all), tooLong]);
    over.abort();
  }

  #awaitNoMore(reference: string): void {
    const held = this.#held.get(reference);
    if (held !== undefined) held.isAwaited = false;
  }

  #open(reference: string): void {
    const held: Held = { settled: Promise.withResolvers<void>(), isAwaited: true, lookedAgainAt: -againEveryMs };
    this.#held.set(reference, held);
    const told: Told = {
      value: (text) => this.#valueTold(reference, held, text),
      problem: (reason, isTemporary = false) => this.#problemTold(reference, held, { reason, isTemporary }),
    };
    const read = readSecretReference(reference);
    if (typeof read === "string") told.problem(read);
    else held.watch = this.#provider(read.kind).watch(read.place, told);
  }

  #provider(kind: SecretKind): SecretProvider {
    const known = this.#opened.get(kind);
    if (known !== undefined) return known;
    const { env, log, metrics, providers } = this.#options;
    const open = providers?.[kind] ?? allProviders[kind];
    const opened = open({ env, log, metrics });
    this.#opened.set(kind, opened);
    return opened;
  }

  #valueTold(reference: string, held: Held, text: string): void {
    const { log } = this.#options;
    const isChanged = held.value !== undefined && held.value !== text;
    const isLate = held.value === undefined && !held.isAwaited;
    if (held.problem !== undefined) log.info({ reference }, "the secret can be read again");
    else if (isChanged) log.info({ reference }, "the secret has changed");
    held.value = text;
    held.problem = undefined;
    held.settled.resolve();
    if (!isChanged && !isLate) return;
    this.#measured.changed();
    for (const heed of this.#heeding) this.#tellOf(reference, heed);
  }

  /** Whoever fails to heed a change must not keep others from it, nor the secret from being followed. */
  #tellOf(reference: string, heed: (reference: string) => void): void {
    try {
      heed(reference);
    } catch (error) {
      this.#options.log.error({ reference, error: describeError(error) }, "a changed secret could not be taken over");
    }
  }

  #problemTold(reference: string, held: Held, problem: Problem): void {
    const isNews = held.problem?.reason !== problem.reason;
    held.problem = problem;
    held.settled.resolve();
    if (!isNews) return;
    const stays =
      held.value === undefined ? "the secret can't be read" : "the secret can't be read: its last value stays";
    this.#options.log.warn({ reference, problem: problem.reason }, stays);
  }

  #forgetUnused(): void {
    const used = new Set([...this.#users.values()].flatMap((references) => [...references]));
    for (const [reference, held] of this.#held) {
      if (used.has(reference)) continue;
      held.watch?.[Symbol.dispose]();
      held.settled.resolve();
      this.#held.delete(reference);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { watch } of this.#held.values()) watch?.[Symbol.dispose]();
    this.#held.clear();
    for (const provider of this.#opened.values()) await provider[Symbol.asyncDispose]?.();
  }
}
