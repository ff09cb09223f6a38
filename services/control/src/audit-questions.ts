import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  type AuditAnswer,
  type CallAnswer,
  type ContentAnswer,
  type PageQuestion,
  type PersonAnswer,
  type TrailPage,
} from "@sluice/contracts";

/** Longer than the audit service lets a search take. */
const timeoutMs = 20_000;
/** Finding all of somebody goes through the whole trail of a tenant. */
const personTimeoutMs = 300_000;

/** Reads the audit trail by asking the audit service, which has the rights to. */
export class AuditQuestions {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** @throws Fault as the audit service tells it, `unavailable` where none answers */
  page(question: PageQuestion): Promise<TrailPage> {
    return this.#ask("page", question);
  }

  /** @throws Fault, `not_found` among others */
  call(call: string): Promise<CallAnswer> {
    return this.#ask("call", { call });
  }

  /** @throws Fault, `not_found` among others */
  content(call: string, part: ContentAnswer["part"]): Promise<ContentAnswer> {
    return this.#ask("content", { call, part });
  }

  /** Whom a tenant's trail calls so. @throws Fault, `not_found` among others */
  person(tenant: string, subject: string): Promise<PersonAnswer> {
    return this.#ask("person", { tenant, subject }, personTimeoutMs);
  }

  /** @throws Fault, `not_found` among others */
  erase(tenant: string, commitment: string): Promise<PersonAnswer> {
    return this.#ask("erase", { tenant, commitment }, personTimeoutMs);
  }

  async #ask<Value>(verb: string, question: unknown, patienceMs = timeoutMs): Promise<Value> {
    const message = await this.#bus
      .ask(subjects.ask("audit", verb), encodeJson(question), { timeoutMs: patienceMs })
      .catch((cause: unknown) => {
        throw new Fault("unavailable", "the audit service does not answer", { cause });
      });
    const answer = decodeJson<AuditAnswer<Value>>(message.data);
    if (answer.ok) return answer.value;
    throw new Fault(answer.error, answer.message);
  }
}
