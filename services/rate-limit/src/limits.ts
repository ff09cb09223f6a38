import { hash } from "node:crypto";
import { compilePattern, type Pattern, type Intent, type Limit, type RateLimitSection } from "@sluice/contracts";
import type { Take } from "./windows.ts";

/** One version of the limits of every tenant. */
export interface Limits {
  /** The newest version among the tenants; 0 where there is none. */
  readonly version: number;
  readonly tenants: number;
  /** The windows that a call has to pass, each with the limit it comes from. */
  takesOf(call: Intent): readonly NamedTake[];
}

export interface NamedTake extends Take {
  /** Names the limit, such as `limits[0]`. */
  readonly rule: string;
}

interface CompiledLimit {
  readonly rule: string;
  readonly identity: string;
  readonly appliesTo: Pattern;
  readonly tool: Pattern | undefined;
  readonly limit: number;
  readonly windowMs: number;
}

/** In front of every window's key in Redis. */
export const windowKeyPrefix = "gw:rl:";
const none: readonly NamedTake[] = [];

export function compileLimits(sections: ReadonlyMap<string, RateLimitSection>): Limits {
  const tenants = new Map<string, ReadonlyMap<string, readonly CompiledLimit[]>>();
  let version = 0;
  for (const [tenant, section] of sections) {
    tenants.set(tenant, compileTenant(section));
    version = Math.max(version, section.version);
  }
  return {
    version,
    tenants: tenants.size,
    takesOf: (call) => {
      const limits = tenants.get(call.tenant)?.get(`/${call.protocol}/${call.method}`);
      if (limits === undefined) return none;
      return limits.filter((limit) => matches(limit, call)).map((limit) => takeOf(limit, call));
    },
  };
}

function compileTenant(section: RateLimitSection): ReadonlyMap<string, readonly CompiledLimit[]> {
  const byPath = new Map<string, CompiledLimit[]>();
  const seen = new Map<string, number>();
  section.limits.forEach((limit, index) => {
    const content = identityOf(limit);
    const times = seen.get(content) ?? 0;
    seen.set(content, times + 1);
    const compiled: CompiledLimit = {
      rule: `limits[${index}]`,
      identity: `${content}#${times}`,
      appliesTo: compilePattern(limit.agentPattern),
      tool: limit.tool === undefined ? undefined : compilePattern(limit.tool),
      limit: limit.maxRequests + limit.burstAllowance,
      windowMs: limit.windowSeconds * 1000,
    };
    const list = byPath.get(limit.path);
    if (list === undefined) byPath.set(limit.path, [compiled]);
    else list.push(compiled);
  });
  return byPath;
}

/** What stays the same when a limit is raised, lowered or moved in the list: then its windows go on. */
function identityOf({ path, tool, agentPattern, windowSeconds }: Limit): string {
  return JSON.stringify([path, tool ?? null, agentPattern, windowSeconds]);
}

function matches(limit: CompiledLimit, call: Intent): boolean {
  if (!limit.appliesTo(call.agent.id)) return false;
  return limit.tool === undefined || (call.target !== undefined && limit.tool(call.target));
}

/** Text from outside is hashed as JSON: no two windows differ only by separators, and no key is long. */
function takeOf(limit: CompiledLimit, call: Intent): NamedTake {
  const who = [call.tenant, limit.identity, call.agent.id, limit.tool === undefined ? null : (call.target ?? null)];
  const key = `${windowKeyPrefix}${hash("sha256", JSON.stringify(who), "base64url")}`;
  return { key, limit: limit.limit, windowMs: limit.windowMs, rule: limit.rule };
}
