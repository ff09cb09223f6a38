import { hash } from "node:crypto";
import {
  allServers,
  compilePattern,
  countedPath,
  isExact,
  sharedBy,
  type Intent,
  type Limit,
  type Pattern,
  type RateLimitSection,
  type SharedBy,
} from "@sluice/contracts";
import type { SlotTake, WindowTake } from "./windows.ts";

/** One version of the limits of every tenant. */
export interface Limits {
  /** The newest version among the tenants; 0 where there is none. */
  readonly version: number;
  readonly tenants: number;
  /** What a call has to pass, each with the limit it comes from. `nextSlot` is asked once for the name of the call's slots. */
  takesOf(call: Intent, nextSlot: () => string): readonly NamedTake[];
}

export type NamedTake = (WindowTake | SlotTake) & {
  /** Names the limit: its name, or its place such as `limits[0]`. */
  readonly rule: string;
  /** The item of `RateLimit-Policy`; absent where there is nothing to tell. */
  readonly policy?: string;
};

interface CompiledLimit {
  readonly rule: string;
  readonly appliesTo: Pattern;
  readonly server: Pattern | undefined;
  readonly tool: Pattern | undefined;
  readonly by: SharedBy;
  /** Agents choose which tools they name, and each has a window of its own. */
  readonly isOpenEnded: boolean;
  readonly window: CompiledWindow | undefined;
  readonly slots: (Pick<SlotTake, "maxConcurrent"> & Told) | undefined;
}

interface CompiledWindow extends Pick<WindowTake, "limit" | "windowMs" | "sustained">, Told {}

interface Told {
  readonly identity: string;
  readonly policy: string;
}

/** In front of every key in Redis: of windows, and of calls in flight. */
export const windowKeyPrefix = "gw:rl:";
export const slotKeyPrefix = "gw:rs:";
/** So many tools may one agent (or owner, or tenant) begin to call within a window, by one limit whose `tool` is a pattern. */
const maxNewTools = 1_000;
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
    takesOf: (call, nextSlot) => {
      const limits = tenants.get(call.tenant)?.get(`/${call.protocol}/${call.method}`);
      if (limits === undefined) return none;
      let slot: string | undefined;
      return limits.flatMap((limit) =>
        matches(limit, call) ? takesBy(limit, call, () => (slot ??= nextSlot())) : none,
      );
    },
  };
}

function compileTenant(section: RateLimitSection): ReadonlyMap<string, readonly CompiledLimit[]> {
  const byPath = new Map<string, CompiledLimit[]>();
  const seen = new Map<string, number>();
  const unique = (content: string) => {
    const times = seen.get(content) ?? 0;
    seen.set(content, times + 1);
    return `${content}#${times}`;
  };
  section.limits.forEach((limit, index) => {
    const { name, agentPattern, server, tool } = limit;
    const path = countedPath(limit.path);
    const rule = name ?? `limits[${index}]`;
    const compiled: CompiledLimit = {
      rule,
      appliesTo: compilePattern(agentPattern),
      server: server === undefined ? undefined : compilePattern(server),
      tool: tool === undefined ? undefined : compilePattern(tool),
      by: sharedBy(limit),
      isOpenEnded: tool !== undefined && !isExact(tool),
      window: windowOf(limit, rule, unique),
      slots: slotsOf(limit, rule, unique),
    };
    const list = byPath.get(path);
    if (list === undefined) byPath.set(path, [compiled]);
    else list.push(compiled);
  });
  return byPath;
}

function windowOf(limit: Limit, rule: string, unique: (content: string) => string): CompiledWindow | undefined {
  const { maxRequests, windowSeconds, burstAllowance } = limit;
  if (maxRequests === undefined || windowSeconds === undefined) return undefined;
  const hasBurst = burstAllowance > 0;
  return {
    identity: unique(identityOf(limit, windowSeconds)),
    limit: maxRequests + burstAllowance,
    windowMs: windowSeconds * 1000,
    ...(hasBurst && { sustained: maxRequests }),
    policy: `"${rule}";q=${maxRequests};w=${windowSeconds}${hasBurst ? `;sluice-burst=${burstAllowance}` : ""}`,
  };
}

function slotsOf(limit: Limit, rule: string, unique: (content: string) => string): CompiledLimit["slots"] {
  const { maxConcurrent, maxRequests } = limit;
  if (maxConcurrent === undefined) return undefined;
  const name = maxRequests === undefined ? rule : `${rule}:concurrent`;
  const identity = unique(identityOf(limit, "in flight"));
  return { identity, maxConcurrent, policy: `"${name}";q=${maxConcurrent};qu="concurrent-requests"` };
}

/** What stays the same when a limit is raised, lowered, named or moved in the list: then what was counted counts on. */
function identityOf(limit: Limit, counts: number | string): string {
  const { path, server, tool, agentPattern } = limit;
  return JSON.stringify([countedPath(path), sharedBy(limit), server ?? null, tool ?? null, agentPattern, counts]);
}

function matches({ appliesTo, server, tool }: CompiledLimit, call: Intent): boolean {
  if (!appliesTo(call.agent.id)) return false;
  if (server !== undefined && !server(call.server) && !mayGoTo(server, call)) return false;
  return tool === undefined || (call.target !== undefined && tool(call.target));
}

/** At the address of all servers a call whose name does not say its server may go to any of them. */
function mayGoTo(server: Pattern, { server: address, namedServer }: Intent): boolean {
  return address === allServers && (namedServer === undefined || server(namedServer));
}

function takesBy(limit: CompiledLimit, call: Intent, slot: () => string): NamedTake[] {
  const { rule, tool, window, slots, isOpenEnded } = limit;
  const target = tool === undefined ? null : (call.target ?? null);
  const keyOf = (prefix: string, ...rest: readonly (string | null)[]) =>
    `${prefix}${hash("sha256", JSON.stringify([call.tenant, ...whoOf(limit, call), ...rest]), "base64url")}`;
  const takes: NamedTake[] = [];
  if (window !== undefined) {
    const { identity, limit: most, windowMs, sustained, policy } = window;
    const key = keyOf(windowKeyPrefix, identity, target);
    takes.push({ key, limit: most, windowMs, ...(sustained !== undefined && { sustained }), rule, policy });
    if (isOpenEnded)
      takes.push({ key: keyOf(windowKeyPrefix, identity), limit: maxNewTools, windowMs, ifNew: true, rule });
  }
  if (slots !== undefined) {
    const { identity, maxConcurrent, policy } = slots;
    takes.push({ key: keyOf(slotKeyPrefix, identity, target), slot: slot(), maxConcurrent, rule, policy });
  }
  return takes;
}

/** Text from outside is hashed as JSON: no two windows differ only by separators, and no key is long. An agent without an owner is its own. */
function whoOf({ by }: CompiledLimit, { agent }: Intent): readonly string[] {
  if (by === "tenant") return ["tenant"];
  return by === "owner" && agent.owner !== undefined ? ["owner", agent.owner] : ["agent", agent.id];
}
