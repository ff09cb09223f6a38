import { createHash } from "node:crypto";
import { compileRules, explain, operationOf, type Operation, type Rulebook } from "@sluice/access";
import type { Conf, PolicySection, PolicyVerdict, Tenant } from "@sluice/contracts";
import { cutSections } from "../cut-sections.ts";
import { placedTarget } from "./place.ts";
import { isForgotten, recordedDecision, type Decision, type RecordedCall } from "./recorded-call.ts";

/** Why it can't be told what becomes of a call; which rules of the new configuration stand in the way. */
export interface Untold {
  readonly because: string;
  readonly rules: readonly string[];
}

/** How those are authenticated whose name and owner the configuration may say. */
const configuredAuth: ReadonlySet<string> = new Set(["apiKey", "mtls"]);
/** Of arguments that are an empty object. */
const emptyArguments = createHash("sha256").update("{}").digest("hex");

/** What a call is under another configuration. `uncompared`: rules did not decide it when it was made. */
export type Judgement =
  | { readonly kind: "uncompared"; readonly because: string }
  | ({ readonly kind: "untold" } & Untold)
  | {
      readonly kind: "told";
      readonly was: Decision;
      readonly now: Decision;
      /** What it would be with the rules in shadow mode, where that differs. */
      readonly shadow?: Decision | undefined;
      /** That depends on arguments. */
      readonly isShadowUntold: boolean;
    };

/** The rules of a configuration, asked about calls that were made under another. */
export class Replay {
  readonly #conf: Conf;
  readonly #sections: ReadonlyMap<string, PolicySection>;
  readonly #rulebook: Rulebook;

  constructor(conf: Conf) {
    this.#conf = conf;
    this.#sections = cutSections(conf, 0).policy;
    this.#rulebook = compileRules(this.#sections);
  }

  judge(call: RecordedCall): Judgement {
    const was = recordedDecision(call);
    if (typeof was === "string") return { kind: "uncompared", because: was };
    const tenant = Object.hasOwn(this.#conf.tenants, call.tenant) ? this.#conf.tenants[call.tenant] : undefined;
    const section = this.#sections.get(call.tenant);
    const isOn = call.protocol === "mcp" ? section?.mcpEnabled : section?.a2aEnabled;
    const placed = isOn === true && tenant !== undefined ? placedTarget(call, tenant) : targetOf(call.target);
    if (placed === undefined) return told(was, { decision: "deny", rule: "unknown-server" });
    const operation = operationFor(call, placed);
    const { needsArguments, isOpenInShadowOnly, ...verdict } = this.#decide(operation, call);
    const isOpen = needsArguments === true && isOpenInShadowOnly !== true;
    const untold = isOpen ? this.#openTo(operation) : this.#doubts(operation, { call, tenant, verdict });
    if (untold !== undefined) return { kind: "untold", ...untold };
    return {
      ...told(was, { decision: verdict.ok ? "allow" : "deny", rule: verdict.rule }),
      shadow: verdict.shadow,
      isShadowUntold: isOpenInShadowOnly === true,
    };
  }

  /** In two steps, as policy does: what arguments say counts only where the decision hangs on them. */
  #decide(operation: Operation, { arguments_hash: hash }: RecordedCall): PolicyVerdict {
    const verdict = this.#rulebook.decide(operation);
    if (verdict.needsArguments !== true || hash !== emptyArguments) return verdict;
    return this.#rulebook.decide({ ...operation, args: {} });
  }

  #openTo(operation: Operation): Untold {
    const open = explain(this.#rulebook, operation).statements.filter(
      ({ mode, condition }) => mode === "enforce" && condition === "open",
    );
    return { because: "arguments are not on record", rules: open.map(({ rule }) => rule) };
  }

  /** What of the caller is not known, where the decision hangs on it. */
  #doubts(operation: Operation, { call, tenant, verdict }: Judged): Untold | undefined {
    if (isForgotten(call.agent_id))
      return this.#rulebook.rulesFor(operation) === undefined
        ? undefined
        : { because: "the agent was forgotten", rules: [] };
    if (verdict.isConditional !== true) return undefined;
    const doubts = doubtsAbout(call, tenant).filter(({ isDoubtful }) => isDoubtful);
    if (doubts.length === 0) return undefined;
    const { statements } = explain(this.#rulebook, operation);
    for (const { because, mayRead } of doubts) {
      const rules = statements.filter(({ when }) => when !== undefined && mayRead(when)).map(({ rule }) => rule);
      if (rules.length > 0) return { because, rules };
    }
    return undefined;
  }
}

interface Judged {
  readonly call: RecordedCall;
  readonly tenant: Tenant | undefined;
  readonly verdict: Pick<PolicyVerdict, "isConditional">;
}

interface Doubt {
  readonly because: string;
  readonly isDoubtful: boolean;
  /** Whether a condition reads it, or looks as if it did. */
  readonly mayRead: (when: string) => boolean;
}

function doubtsAbout(call: RecordedCall, tenant: Tenant | undefined): Doubt[] {
  const { agent_id: id, agent_name: name, agent_owner: owner, auth_user: user } = call;
  const readsAgent = (when: string) => /\bagent\b/.test(when.replaceAll(/\bagent\s*\.\s*id\b/g, ""));
  const configured = configuredAuth.has(call.auth) ? tenant?.agents.find((agent) => agent.id === id) : undefined;
  const isOther = (said: string | undefined, then: string | null) => said !== (then ?? undefined);
  return [
    {
      because: "the agent's name or owner was forgotten",
      isDoubtful: isForgotten(name) || isForgotten(owner),
      mayRead: readsAgent,
    },
    { because: "the user was forgotten", isDoubtful: isForgotten(user), mayRead: (when) => /\buser\b/.test(when) },
    {
      because: "the new configuration gives the agent another name or owner",
      isDoubtful: configured !== undefined && (isOther(configured.name, name) || isOther(configured.owner, owner)),
      mayRead: readsAgent,
    },
  ];
}

function told(was: Decision, now: Decision) {
  return { kind: "told", was, now, isShadowUntold: false } as const;
}

function targetOf(target: string | null): { readonly target?: string } {
  return target === null ? {} : { target };
}

function operationFor(call: RecordedCall, placed: { readonly target?: string }): Operation {
  const { agent_id: id, agent_name: name, agent_owner: owner, auth_issuer: issuer, auth_user: user, scopes } = call;
  return operationOf({
    tenant: call.tenant,
    protocol: call.protocol,
    method: call.method,
    agent: { id, ...(name !== null && { name }), ...(owner !== null && { owner }) },
    ...(issuer !== null && { issuer }),
    ...(user !== null && { user }),
    ...(scopes !== null && { scopes }),
    ...placed,
    ...(call.target_kind !== null && { targetKind: call.target_kind }),
    ...(call.resumes !== null && { resumes: call.resumes }),
  });
}
