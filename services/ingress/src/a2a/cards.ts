import { createHash } from "node:crypto";
import { cardInAnswer, cardOf, renderCard, signCard, type CardForm, type Members, type WireAnswer } from "@sluice/a2a";
import type { Bus } from "@sluice/bus";
import { Fault, type Dialect, type IngressSection } from "@sluice/contracts";
import type { JWK } from "jose";
import { noSuchAgent, type Principal, type Tenants } from "../tenants.ts";
import { whoOf } from "../who.ts";
import type { CardKeyring } from "./card-keys.ts";
import { schemesOf } from "./card-security.ts";
import { CardSources, type SourceCard } from "./card-sources.ts";
import { anybody, visible, type Reader } from "./card-visibility.ts";
import { KeptCards, type ServedCard } from "./kept-cards.ts";

export interface CardsOptions {
  readonly bus: Bus;
  readonly tenants: Tenants;
  /** Where agents reach this gateway, without a slash at the end; without it there are no cards. */
  readonly publicUrl: () => string | undefined;
  readonly keys: CardKeyring;
  /** The gateway tells clients of tasks by itself (push notifications). */
  readonly pushes: boolean;
  readonly now?: () => number;
}

/** An agent that a card is asked of. */
export interface CardPlaceOf {
  readonly tenant: string;
  readonly agent: string;
}

/** Where the keys are published. */
export const jwksPath = "/.well-known/jwks.json";

/** Agents' cards as the gateway offers them, each as whoever asks may see it. */
export class Cards {
  readonly #options: CardsOptions;
  readonly #sources: CardSources;
  readonly #kept: KeptCards;

  constructor(options: CardsOptions) {
    this.#options = options;
    this.#sources = new CardSources(options.bus, options.now);
    this.#kept = new KeptCards(options.now);
  }

  /** Public keys of the gateway's signatures. */
  get keys(): readonly JWK[] {
    return this.#options.keys.published;
  }

  /** The card of an agent, in one form. @throws Fault `not_found` where the reader may not know of the agent, or why there is none */
  async served(place: CardPlaceOf, form: CardForm, principal: Principal | null): Promise<ServedCard> {
    const section = this.#options.tenants.require(place.tenant);
    const { version } = section;
    const source = await this.#sources.of({ ...place, version });
    const reader = readerOf(principal);
    const key = JSON.stringify([version, place.tenant, place.agent, form, source.digest, source.isDoubtful, reader]);
    return await this.#kept.of(key, () => this.#make({ place, section, source, reader }, form));
  }

  /** An answer that shows an extended card, with that card as the gateway offers the agent. @throws Fault */
  async rewritten(answer: WireAnswer, { dialect, principal, agent }: Extended): Promise<WireAnswer> {
    const shown = cardInAnswer(dialect, answer);
    if (shown === undefined) return answer;
    const { tenant } = principal;
    const section = this.#options.tenants.require(tenant);
    // Egress leaves a signature only where it is none to rest on.
    const source = { card: cardOf(shown.card), isDoubtful: shown.card["signatures"] !== undefined };
    const asked = { place: { tenant, agent }, section, source, reader: readerOf(principal) };
    return shown.with(await this.#document(asked, extendedForm(dialect)));
  }

  async #make(asked: Asked, form: CardForm): Promise<ServedCard> {
    const body = Buffer.from(JSON.stringify(await this.#document(asked, form)));
    return { body, etag: `"${createHash("sha256").update(body).digest("base64url")}"` };
  }

  async #document({ place, section, source, reader }: Asked, form: CardForm): Promise<Members> {
    const { bus, pushes } = this.#options;
    const publicUrl = this.#options.publicUrl();
    if (publicUrl === undefined) throw unplaced();
    const { tenant, agent: server } = place;
    const ask = (kind: "agents" | "skills", names: readonly string[]) =>
      visible(bus, { ...reader, tenant, server, kind, names }, section.version);
    const ids = [...new Set(source.card.skills.map(({ id }) => id))];
    const [agents, skills] = await Promise.all([ask("agents", [server]), ask("skills", ids)]);
    if (!agents.has(server)) throw noSuchAgent();
    const document = renderCard(source.card, form, {
      url: `${publicUrl}/a2a/${server}`,
      schemes: schemesOf(section),
      shows: (skill) => skills.has(skill),
      pushes,
    });
    return source.isDoubtful || form === "old" ? document : await this.#signed(document, publicUrl);
  }

  async #signed(document: Members, publicUrl: string): Promise<Members> {
    const { signing } = this.#options.keys;
    return signing === undefined ? document : await signCard(document, { ...signing, jku: publicUrl + jwksPath });
  }
}

/** Who gets an extended card, and how it is written. */
interface Extended {
  readonly dialect: Dialect;
  readonly principal: Principal;
  readonly agent: string;
}

function extendedForm({ version, binding }: Dialect): CardForm {
  if (version === "1.0") return "1.0";
  if (version !== "0.3") return "old";
  return binding === "HTTP+JSON" ? "0.3-proto" : "0.3";
}

interface Asked {
  readonly place: CardPlaceOf;
  readonly section: IngressSection;
  readonly source: Pick<SourceCard, "card" | "isDoubtful">;
  readonly reader: Reader;
}

function readerOf(principal: Principal | null): Reader {
  if (principal === null) return { agent: anybody };
  const { identity: _, ...reader } = whoOf(principal);
  return reader;
}

function unplaced(): Fault {
  return new Fault(
    "unavailable",
    "cards name the gateway's own address: its operator has to set PUBLIC_URL of ingress",
  );
}
