import { randomBytes } from "node:crypto";
import { CredentialBucket, watchCredentials, type Bus, type HeldCredential } from "@sluice/bus";
import { credentialHash, credentialText, Fault, type Credential, type CredentialKind } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";

/** What is decided about a credential before it is made. */
export type NewCredential = Omit<Credential, "id" | "hash" | "createdAtMs">;

/** A credential and the text that stands for it, which exists nowhere else. */
export interface MadeCredential {
  readonly credential: Credential;
  readonly text: string;
}

export interface CredentialsOptions {
  readonly bus: Bus;
  readonly log: Log;
  /** Whether a token that acts for an operator may still: who left takes theirs along. */
  readonly isOperator: (name: string) => boolean;
  readonly onOrphanRevoked: (credential: Credential) => void;
}

const randomByteCount = 32;
const idByteCount = 8;
const mostCredentials = 100_000;
const sweepMs = 60_000;
/** An expired one stays in lists for so long. */
const keptExpiredMs = 3_600_000;
const removedKeptMs = 3_600_000;

/** The keys and tokens that Sluice made. What is changed here is in force at every ingress as soon as it hears of it. */
export class Credentials implements AsyncDisposable {
  readonly #options: CredentialsOptions;
  readonly #bucket: CredentialBucket;
  #held: Map<string, HeldCredential> | undefined;
  #watch: AsyncDisposable | undefined;
  #sweeping: NodeJS.Timeout | undefined;
  #forgottenAtMs = Date.now();

  constructor(options: CredentialsOptions) {
    this.#options = options;
    this.#bucket = new CredentialBucket(options.bus);
  }

  /** Reads all of them; until then everything is refused with `unavailable`. */
  async open(): Promise<void> {
    const { bus, log } = this.#options;
    this.#watch ??= await watchCredentials(bus, {
      all: (held) => (this.#held = new Map(held)),
      changed: (held) => this.#keep(held),
      removed: (id) => this.#held?.delete(id),
      unreadable: (key) => log.error({ key }, "an entry of the credential store is none and counts for nothing"),
    });
    this.#sweeping ??= setInterval(() => void this.sweep(), sweepMs).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeping);
    await this.#watch?.[Symbol.asyncDispose]();
  }

  /** A tenant's credentials of one kind, by id. */
  list(tenant: string, kind: CredentialKind): Credential[] {
    return [...this.#all.values()]
      .map(({ credential }) => credential)
      .filter((credential) => credential.tenant === tenant && credential.kind === kind)
      .toSorted((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** @throws Fault `not_found` where the tenant has none of this kind and id */
  require({ tenant, kind, id }: Pick<Credential, "tenant" | "kind" | "id">): HeldCredential {
    const held = this.#all.get(id);
    if (held === undefined || held.credential.tenant !== tenant || held.credential.kind !== kind)
      throw new Fault("not_found", `this tenant has no ${kind} with the id ${id}`);
    return held;
  }

  /** Resolves once it is stored. */
  async create(wanted: NewCredential): Promise<MadeCredential> {
    if (this.#all.size >= mostCredentials)
      throw new Fault("conflict", `there are ${mostCredentials} keys and tokens: revoke some first`);
    const id = randomBytes(idByteCount).toString("hex");
    const text = credentialText(wanted.kind, id, randomBytes(randomByteCount));
    const credential: Credential = { ...wanted, id, hash: credentialHash(text), createdAtMs: Date.now() };
    this.#keep({ credential, revision: await this.#bucket.put(credential, 0) });
    return { credential, text };
  }

  /** Makes a key that takes the place of another, which stays good for the overlap. */
  async rotate(old: HeldCredential, wanted: NewCredential, overlapMs: number): Promise<MadeCredential> {
    const made = await this.create(wanted);
    const endMs = Math.min(old.credential.expiresAtMs ?? Infinity, Date.now() + overlapMs);
    const ending: Credential = { ...old.credential, expiresAtMs: endMs, rotatedTo: made.credential.id };
    try {
      this.#keep({ credential: ending, revision: await this.#bucket.put(ending, old.revision) });
    } catch (error) {
      await this.#remove(made.credential.id).catch(() => {});
      throw error;
    }
    return made;
  }

  async revoke({ credential: { id } }: HeldCredential): Promise<void> {
    await this.#remove(id);
  }

  /** Forgets what expired long ago, and revokes what acts for operators who are gone. */
  async sweep(now = Date.now()): Promise<void> {
    try {
      for (const { credential } of this.#held?.values() ?? []) {
        const { id, expiresAtMs = Infinity, user } = credential;
        if (user !== undefined && !this.#options.isOperator(user)) {
          await this.#remove(id);
          this.#options.onOrphanRevoked(credential);
        } else if (expiresAtMs + keptExpiredMs <= now) {
          await this.#bucket.drop(id);
          this.#held?.delete(id);
        }
      }
      if (this.#forgottenAtMs + removedKeptMs > now) return;
      await this.#bucket.forgetRemoved(removedKeptMs);
      this.#forgottenAtMs = now;
    } catch (error) {
      this.#options.log.warn({ error: describeError(error) }, "credentials can't be swept now; it is tried again");
    }
  }

  get #all(): Map<string, HeldCredential> {
    if (this.#held === undefined) throw new Fault("unavailable", "the credential store has not been read yet");
    return this.#held;
  }

  #keep(held: HeldCredential): void {
    const { id } = held.credential;
    if ((this.#held?.get(id)?.revision ?? 0) < held.revision) this.#held?.set(id, held);
  }

  async #remove(id: string): Promise<void> {
    await this.#bucket.remove(id);
    this.#held?.delete(id);
  }
}
