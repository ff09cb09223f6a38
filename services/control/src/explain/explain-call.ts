import { explain, type Operation } from "@sluice/access";
import { a2aOperationOf, Fault, type Agent, type Conf, type PolicyVerdict, type Tenant } from "@sluice/contracts";
import type { Accepted } from "../configuration.ts";
import { editionOf, type Place } from "./edition.ts";
import type { ExplainedCall, Question } from "./question.ts";

/** Says which rule decides a call under this configuration, where it is written, and what the others say. @throws Fault `not_found` */
export function explainCall(accepted: Pick<Accepted, "conf" | "file" | "text">, question: Question): ExplainedCall {
  const { name, tenant } = tenantOf(accepted.conf, question);
  requireServer(tenant, question);
  const edition = editionOf(accepted);
  const rulebook = edition.rulebookOf(name, tenant);
  const { verdict, statements, silent, others } = explain(rulebook, operationOf(question, { name, tenant }));
  const placeOf = (rule: string) => edition.placeOf(rule, name);
  const { rule, shadow } = verdict;
  return {
    decision: dependsOnArguments(verdict) ? "depends on arguments" : verdict.ok ? "allow" : "deny",
    ...placed(rule, placeOf),
    ...(!verdict.ok && verdict.argumentRule !== undefined && { argumentRule: verdict.argumentRule }),
    ...(shadow !== undefined && { shadow: { decision: shadow.decision, ...placed(shadow.rule, placeOf) } }),
    statements: statements.map((statement) => ({ ...statement, ...placed(statement.rule, placeOf) })),
    silent,
    others,
    ...(!verdict.ok && { allowed: verdict.allowed }),
  };
}

function dependsOnArguments({ needsArguments, isOpenInShadowOnly }: PolicyVerdict): boolean {
  return needsArguments === true && isOpenInShadowOnly !== true;
}

interface NamedTenant {
  readonly name: string;
  readonly tenant: Tenant;
}

function tenantOf({ tenants }: Conf, { tenant: asked }: Question): NamedTenant {
  const [only, another] = Object.keys(tenants);
  const name = asked ?? (another === undefined ? only : undefined);
  if (name === undefined)
    throw new Fault("invalid_request", `name one of the tenants: ${Object.keys(tenants).join(", ")}`);
  const tenant = Object.hasOwn(tenants, name) ? tenants[name] : undefined;
  if (tenant === undefined) throw new Fault("not_found", `there is no tenant ${name}`);
  return { name, tenant };
}

function requireServer({ mcp, a2a }: Tenant, question: Question): void {
  const { server } = question;
  const isA2a = question.a2a !== undefined || question.skill !== undefined;
  const has = (name: string) => (isA2a ? a2a : mcp).endpoints.some((endpoint) => endpoint.name === name);
  if (server !== undefined && !has(server)) throw new Fault("not_found", `the tenant has no server ${server}`);
  if (question.a2a !== undefined && !has(question.a2a))
    throw new Fault("not_found", `the tenant has no agent ${question.a2a} in a2a.endpoints`);
}

function operationOf(question: Question, { name, tenant }: NamedTenant): Operation {
  const { scopes, issuer, user, args } = question;
  return {
    tenant: name,
    agent: agentOf(question, tenant),
    ...askedOf(question),
    ...(scopes !== undefined && { scopes }),
    ...(issuer !== undefined && { issuer }),
    ...(user !== undefined && { user }),
    ...(args !== undefined && { args }),
  };
}

/** What is done to what: the first that the question names. */
function askedOf({ tool, prompt, resource, a2a, method, skill }: Question) {
  if (tool !== undefined) return { protocol: "mcp", method: "tools/call", target: tool } as const;
  if (prompt !== undefined) return { protocol: "mcp", method: "prompts/get", target: prompt } as const;
  if (resource !== undefined) return { protocol: "mcp", method: "resources/read", target: resource } as const;
  return skill === undefined
    ? ({
        protocol: "a2a",
        method: a2aOperationOf(method ?? "SendMessage") ?? "SendMessage",
        target: a2a,
        targetKind: "agents",
      } as const)
    : ({ protocol: "a2a", method: "GetAgentCard", target: skill, targetKind: "skills" } as const);
}

function agentOf({ agent, agentName, owner }: Question, { agents }: Tenant): Agent {
  const known = agents.find(({ id }) => id === agent);
  const nameHere = agentName ?? known?.name;
  const ownerHere = owner ?? known?.owner;
  return {
    id: agent,
    ...(nameHere !== undefined && { name: nameHere }),
    ...(ownerHere !== undefined && { owner: ownerHere }),
  };
}

function placed(rule: string, placeOf: (rule: string) => Place | undefined): { rule: string; at?: Place } {
  const at = placeOf(rule);
  return { rule, ...(at !== undefined && { at }) };
}
