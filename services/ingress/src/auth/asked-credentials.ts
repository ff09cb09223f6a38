import { hash } from "node:crypto";
import { Fault } from "@sluice/contracts";
import { isSameAgent, type Principal } from "../tenants.ts";

/** What is found out about a credential, and how long that serves. */
export interface Finding {
  /** Absent where it is no good. */
  readonly principal?: Omit<Principal, "credential">;
  /** Unix milliseconds. */
  readonly untilMs: number;
}

export interface AskedCredentialsOptions {
  /**
   * Finds out who somebody is; undefined where there is nobody to ask about such a credential. What was good before waits
   * for its turn.
   * @throws Fault where that cannot be found out at the moment
   */
  readonly ask: (secret: string, isKnown: boolean) => Promise<Finding> | undefined;
  /** Told when a credential that was good is no more. */
  readonly changed: () => void;
  readonly clock?: () => number;
}

type Found = Principal | Fault;

interface Question {
  readonly credential: string;
  readonly secret: string;
  /** Whether it was good before. */
  readonly isKnown: boolean;
}

interface Shown {
  readonly secret: string;
  /** When nobody could say for the first time since it was confirmed. */
  unansweredAtMs?: number | undefined;
}

const maxGood = 10_000;
const maxBad = 5_000;
/** What is refused may have been issued a moment ago, and not everywhere yet. */
const refusedForMs = 2_000;
/** How long what is under way goes on after nobody could say whether its credential is good still. */
const unconfirmedMs = 30_000;

/**
 * Credentials that somebody else must be asked about: once at a time for each, and again when the answer has served its
 * time, also while something is done with it. They are known by their hash; kept as they are only with who came by them.
 */
export class AskedCredentials {
  readonly #options: AskedCredentialsOptions;
  readonly #clock: () => number;
  readonly #good = new Map<string, { readonly principal: Principal; readonly untilMs: number }>();
  readonly #bad = new Map<string, number>();
  #asked = new Map<string, Promise<Found>>();
  #isToTell = false;
  readonly #shown = new WeakMap<Principal, Shown>();

  constructor(options: AskedCredentialsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** What was found out holds no more, nor does what is being found out. */
  clear(): void {
    for (const [credential, { principal }] of this.#good) this.#good.set(credential, { principal, untilMs: 0 });
    this.#bad.clear();
    this.#asked = new Map();
  }

  /** Who shows this; undefined where nobody can be asked. @throws Fault `unauthorized`, or why it is not known */
  authenticate(secret: string): Principal | undefined | Promise<Principal> {
    const credential = hash("sha256", secret, "hex");
    const good = this.#fresh(credential);
    if (good !== undefined) return good;
    if ((this.#bad.get(credential) ?? 0) > this.#clock()) throw new InvalidCredential();
    return this.#ask({ credential, secret, isKnown: this.#good.has(credential) })?.then((found) => {
      if (found instanceof Fault) throw found;
      return found;
    });
  }

  /** Whether it is good as far as is known; asks again in the background where that is too long ago. */
  knows(principal: Principal): boolean {
    const { credential } = principal;
    const shown = this.#shown.get(principal);
    if (shown === undefined) return false;
    const good = this.#fresh(credential);
    if (good !== undefined) {
      shown.unansweredAtMs = undefined;
      return good === principal || mayTheSame(good, principal);
    }
    const { secret, unansweredAtMs = Number.POSITIVE_INFINITY } = shown;
    if (this.#bad.has(credential) || this.#clock() - unansweredAtMs > unconfirmedMs) return false;
    const asked = this.#ask({ credential, secret, isKnown: true });
    void asked?.then((found) => {
      if (isUnanswered(found)) shown.unansweredAtMs ??= this.#clock();
    });
    return asked !== undefined;
  }

  #fresh(credential: string): Principal | undefined {
    const good = this.#good.get(credential);
    return good !== undefined && good.untilMs > this.#clock() ? good.principal : undefined;
  }

  #ask(question: Question): Promise<Found> | undefined {
    const { credential, secret, isKnown } = question;
    const asked = this.#asked;
    const underWay = asked.get(credential);
    if (underWay !== undefined) return underWay;
    const answer = this.#options.ask(secret, isKnown);
    if (answer === undefined) return undefined;
    const found = answer
      .then(
        // Where the rules changed while it was asked, the answer is to be found by the new ones.
        (finding) =>
          asked === this.#asked ? this.#keep(question, finding) : (this.#ask(question) ?? new InvalidCredential()),
        (error: unknown) => (error instanceof Fault ? error : new Fault("unavailable", cannotTell, { cause: error })),
      )
      .finally(() => asked.delete(credential));
    asked.set(credential, found);
    return found;
  }

  #keep({ credential, secret }: Question, { principal, untilMs }: Finding): Found {
    const now = this.#clock();
    const before = this.#good.get(credential)?.principal;
    const wasGood = this.#good.delete(credential);
    if (principal === undefined || untilMs <= now) {
      bound(this.#bad, maxBad).set(credential, now + refusedForMs);
      if (wasGood) this.#tell();
      return new InvalidCredential();
    }
    const whole = { ...principal, credential, isPerishable: true };
    if (before !== undefined && !mayTheSame(before, whole)) this.#tell();
    this.#bad.delete(credential);
    bound(this.#good, maxGood).set(credential, { principal: whole, untilMs });
    this.#shown.set(whole, { secret });
    return whole;
  }

  /** Once for all that turn bad together: who is told looks at everything that is under way. */
  #tell(): void {
    if (this.#isToTell) return;
    this.#isToTell = true;
    setImmediate(() => {
      this.#isToTell = false;
      this.#options.changed();
    });
  }
}

/** Whether both speak for the same agent and user, with the same rights: what one began the other may go on with. */
function mayTheSame(one: Principal, other: Principal): boolean {
  return (
    isSameAgent(one, other) &&
    one.user === other.user &&
    areTheSame(one.scopes, other.scopes) &&
    areTheSame(one.servers, other.servers)
  );
}

/** In whatever order; none is another thing than an empty list. */
function areTheSame(some: readonly string[] | undefined, others: readonly string[] | undefined): boolean {
  if (some === undefined || others === undefined) return some === others;
  const [first, second] = [new Set(some), new Set(others)];
  return first.size === second.size && [...first].every((one) => second.has(one));
}

/** That there was no room to ask says nothing of who is asked. */
function isUnanswered(found: Found): boolean {
  return found instanceof Fault && !(found instanceof InvalidCredential) && found.kind !== "overloaded";
}

const cannotTell = "who calls cannot be verified at the moment";

/** Something was shown, and it is no good: another than the answer to who shows nothing (RFC 6750 §3.1). */
export class InvalidCredential extends Fault {
  constructor() {
    super("unauthorized", "the credential is not valid here, or has expired");
  }
}

/** Makes room for one more: the oldest goes. */
function bound<Value>(map: Map<string, Value>, max: number): Map<string, Value> {
  if (map.size >= max) for (const oldest of map.keys()) return map.delete(oldest) ? map : map;
  return map;
}
