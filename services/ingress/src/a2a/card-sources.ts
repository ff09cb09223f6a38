import { createHash } from "node:crypto";
import { cardOf, type AgentCard, type Members } from "@sluice/a2a";
import type { Bus } from "@sluice/bus";
import {
  decodeHeadAndBody,
  encodeJson,
  Fault,
  subjects,
  toFault,
  type CardAnswer,
  type CardQuestion,
} from "@sluice/contracts";
import { startSpan } from "@sluice/telemetry";

/** An agent's card as egress had it lately. */
export interface SourceCard {
  readonly card: AgentCard;
  /** It is what it was as long as this is. */
  readonly digest: string;
  readonly isDoubtful: boolean;
}

interface Place {
  readonly tenant: string;
  readonly agent: string;
  /** Of the tenant's configuration. */
  readonly version: number;
}

interface Entry {
  readonly card: Promise<SourceCard>;
  freshUntil: number;
}

const freshMs = 30_000;
/** Egress, which asks an agent less often, may not have a new one yet. */
const retryMs = 500;
/** Egress itself gives an agent 10 s, at each of the places where its card may be. */
const timeoutMs = 35_000;
const mostEntries = 4_096;

/** The cards of the agents behind the gateway: each is asked for once at a time, and kept for a moment. */
export class CardSources {
  readonly #bus: Bus;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(bus: Bus, now = Date.now) {
    this.#bus = bus;
    this.#now = now;
  }

  /** @throws Fault that says why there is none */
  of(place: Place): Promise<SourceCard> {
    const key = `${place.version} ${place.tenant}/${place.agent}`;
    const known = this.#entries.get(key);
    if (known !== undefined && known.freshUntil > this.#now()) return known.card;
    this.#entries.delete(key);
    const entry: Entry = { card: this.#ask(place), freshUntil: Number.POSITIVE_INFINITY };
    entry.card.then(
      () => (entry.freshUntil = this.#now() + freshMs),
      () => (entry.freshUntil = this.#now() + retryMs),
    );
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= mostEntries) break;
      this.#entries.delete(oldest);
    }
    return entry.card;
  }

  async #ask({ tenant, agent }: Place): Promise<SourceCard> {
    const span = startSpan("ingress card", "client", undefined);
    try {
      const question: CardQuestion = { tenant, agent, traceparent: span.traceparent };
      const { data } = await this.#bus.ask(subjects.ask("egress", "card"), encodeJson(question), { timeoutMs });
      const { head, body } = decodeHeadAndBody<CardAnswer>(data);
      if (head.fault !== undefined) throw new Fault(head.fault.kind, head.fault.message);
      const card = cardOf(JSON.parse(body.toString("utf8")) as Members);
      const digest = createHash("sha256").update(body).digest("base64url");
      span.end();
      return { card, digest, isDoubtful: head.isDoubtful === true };
    } catch (error) {
      const fault = toFault(error);
      span.end({ error: fault.kind });
      throw fault;
    }
  }
}
