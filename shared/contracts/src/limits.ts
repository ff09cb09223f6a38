import { z } from "zod";
import { patternSchema } from "./access-rule.ts";
import { a2aOperationOf } from "./a2a-methods.ts";

/** How often, and how many at once: the entries of `limits` in `conf/tenants.yaml` (seed 001 §4). */

/** Who shares what a limit counts: one agent, all agents of one owner, or the whole tenant. */
export const sharedBySchema = z.enum(["agent", "owner", "tenant"]);
export type SharedBy = z.infer<typeof sharedBySchema>;

/** Seed 001's way to name who is counted: a header that ingress sets from the verified identity. */
const keySelectors: Readonly<Record<string, SharedBy>> = {
  "#[attributes.headers['x-verified-agent-id']]": "agent",
  "#[attributes.headers['x-verified-agent-owner']]": "owner",
};

const a2aPrefix = "/a2a/";

const selected = (text: string) => keySelectors[text.replaceAll('"', "'").toLowerCase()];

/** What limits of windows and limits of calls in flight have in common, and what must stand together. */
export const limitSchema = z
  .strictObject({
    /** What agents read in `RateLimit`, and operators in the audit trail and metrics; `limits[0]` and so on unless said. */
    name: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/, "must be 1 to 64 letters, digits or . _ -")
      .optional(),
    /** Protocol and method, such as `/mcp/tools/call`; an operation of A2A by any of its names. */
    path: z
      .string()
      .regex(/^\/(?:mcp|a2a)\/[A-Za-z/_-]+$/, "must be /mcp/… or /a2a/… and a method, such as /mcp/tools/call"),
    per: sharedBySchema.optional(),
    keySelector: z
      .string()
      .refine(
        (text) => selected(text) !== undefined,
        `must be one of ${Object.keys(keySelectors).join(", ")}; for anything else say per: agent, owner or tenant`,
      )
      .optional(),
    /** Only calls to endpoints whose name matches; they share what is counted. */
    server: patternSchema.optional(),
    /** Only calls to tools that match; each tool is counted by itself. */
    tool: patternSchema.optional(),
    agentPattern: patternSchema.default("*"),
    /** Calls that pass in a window, and how long a window is. */
    maxRequests: z.int().min(0).max(1_000_000_000).optional(),
    windowSeconds: z.int().min(1).max(86_400).optional(),
    /** How far over `maxRequests` one window may go; what was used of it comes back as fast as calls stay below `maxRequests`. */
    burstAllowance: z.int().min(0).max(1_000_000_000).default(0),
    /** Calls in flight at a time. */
    maxConcurrent: z.int().min(1).max(1_000_000).optional(),
  })
  .superRefine((limit, { addIssue }) => {
    for (const { key, message } of contradictionsIn(limit)) addIssue({ code: "custom", path: [key], message });
  });
export type Limit = z.infer<typeof limitSchema>;

interface Stated {
  readonly per?: SharedBy | undefined;
  readonly keySelector?: string | undefined;
  readonly maxRequests?: number | undefined;
  readonly windowSeconds?: number | undefined;
  readonly burstAllowance: number;
  readonly maxConcurrent?: number | undefined;
}

function contradictionsIn(limit: Stated): { key: keyof Stated; message: string }[] {
  const { per, keySelector, maxRequests, windowSeconds, burstAllowance, maxConcurrent } = limit;
  const found: { key: keyof Stated; message: string }[] = [];
  if (maxRequests === undefined && maxConcurrent === undefined)
    found.push({ key: "maxRequests", message: "a limit needs maxRequests with windowSeconds, or maxConcurrent" });
  if (maxRequests !== undefined && windowSeconds === undefined)
    found.push({ key: "windowSeconds", message: "maxRequests needs windowSeconds beside it" });
  if (maxRequests === undefined && windowSeconds !== undefined)
    found.push({ key: "windowSeconds", message: "windowSeconds needs maxRequests beside it" });
  if (burstAllowance > 0 && (maxRequests ?? 0) === 0)
    found.push({ key: "burstAllowance", message: "a burst needs maxRequests above 0, which it comes back by" });
  const isOther = keySelector !== undefined && selected(keySelector) !== per;
  if (per !== undefined && isOther)
    found.push({ key: "keySelector", message: `says something else than per: ${per}; one of them is enough` });
  return found;
}

/** Who shares what this limit counts, in either spelling. */
export function sharedBy({ per, keySelector }: Pick<Stated, "per" | "keySelector">): SharedBy {
  return per ?? (keySelector === undefined ? undefined : selected(keySelector)) ?? "agent";
}

/** The one path that calls are counted by: all names of an operation of A2A mean the same. */
export function countedPath(path: string): string {
  const operation = path.startsWith(a2aPrefix) ? a2aOperationOf(path.slice(a2aPrefix.length)) : undefined;
  return operation === undefined ? path : `${a2aPrefix}${operation}`;
}
