import { compileRules, type Rulebook } from "@sluice/access";
import type { Tenant } from "@sluice/contracts";
import { LineCounter, parseDocument } from "yaml";
import { offsetOf } from "../conf-location.ts";
import type { Accepted } from "../configuration.ts";
import { cutSections } from "../cut-sections.ts";
import type { ExplainedCall } from "./question.ts";

export type Place = NonNullable<ExplainedCall["at"]>;
type Text = Pick<Accepted, "conf" | "file" | "text">;

const editions = new WeakMap<Accepted["conf"], Edition>();

/** What explaining needs of a configuration, prepared once for as long as that is in use. */
export function editionOf(accepted: Text): Edition {
  let edition = editions.get(accepted.conf);
  if (edition === undefined) editions.set(accepted.conf, (edition = new Edition(accepted)));
  return edition;
}

class Edition {
  readonly #accepted: Text;
  readonly #lines = new LineCounter();
  #document: ReturnType<typeof parseDocument> | undefined;
  /** Of the tenant that was asked about last. */
  #last: { readonly name: string; readonly rulebook: Rulebook } | undefined;

  constructor(accepted: Text) {
    this.#accepted = accepted;
  }

  rulebookOf(name: string, tenant: Tenant): Rulebook {
    if (this.#last?.name === name) return this.#last.rulebook;
    const { policy } = cutSections({ ...this.#accepted.conf, tenants: { [name]: tenant } }, 0);
    const rulebook = compileRules(policy);
    this.#last = { name, rulebook };
    return rulebook;
  }

  /** Where what a verdict names is written; what stands nowhere (a default) has no place. */
  placeOf(rule: string, tenant: string): Place | undefined {
    if (!rule.startsWith("accessRules[")) return undefined;
    const { file, text } = this.#accepted;
    this.#document ??= parseDocument(text, { lineCounter: this.#lines, merge: true });
    const path = rule.split(/[.[\]]+/).filter((part) => part !== "");
    const { line, col } = this.#lines.linePos(offsetOf(this.#document, ["tenants", tenant, ...path]));
    return { file, line, column: col };
  }
}
