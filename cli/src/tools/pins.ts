import type { AdminClient } from "../admin-client.ts";

/** A tool as the admin API tells it. */
export interface Tool {
  readonly server: string;
  readonly tool: string;
  readonly state: "approved" | "quarantined" | "rejected";
  readonly definitions: readonly {
    readonly hash: string;
    readonly state: "approved" | "pending" | "rejected";
    readonly seenAt: number;
    readonly by?: string;
  }[];
}

export interface ToolQuery {
  readonly tenant?: string;
  readonly server?: string;
  readonly state?: string;
}

/** The path of a tenant's tools; a tenant that is the only one need not be named. */
export async function toolsPath(admin: AdminClient, tenant: string | undefined): Promise<string> {
  if (tenant !== undefined) return `/v1/tenants/${encodeURIComponent(tenant)}/tools`;
  const { tenants } = await admin.get<{ tenants: readonly string[] }>("/v1/status");
  const [only] = tenants;
  if (only === undefined || tenants.length > 1) throw new Error(`name one with --tenant: ${tenants.join(", ")}`);
  return `/v1/tenants/${encodeURIComponent(only)}/tools`;
}

export async function findTools(admin: AdminClient, { tenant, server, state }: ToolQuery): Promise<readonly Tool[]> {
  const query = new URLSearchParams({ ...(server !== undefined && { server }), ...(state !== undefined && { state }) });
  const { tools } = await admin.get<{ tools: readonly Tool[] }>(
    `${await toolsPath(admin, tenant)}?${query.toString()}`,
  );
  return tools;
}

export function pathOf(base: string, { server, tool }: Pick<Tool, "server" | "tool">, verb: string): string {
  return `${base}/${encodeURIComponent(server)}/${encodeURIComponent(tool)}/${verb}`;
}

/** The one definition that waits. @throws Error that says which do, where that is not one */
export function waitingOf({ server, tool, definitions }: Tool): string {
  const waiting = definitions.filter(({ state }) => state === "pending");
  const [only] = waiting;
  if (only === undefined) throw new Error(`no definition of ${server}/${tool} waits for approval`);
  if (waiting.length === 1) return only.hash;
  const lines = waiting.map(({ hash, seenAt }) => `  ${hash}  seen ${new Date(seenAt).toISOString()}`);
  throw new Error(`several definitions of ${server}/${tool} wait: name one with --definition\n${lines.join("\n")}`);
}

const shortest = 4;
const shownDigits = 12;

/** The definition whose hash begins so. @throws Error where none does, or several do */
export function definitionOf({ server, tool, definitions }: Tool, prefix: string): string {
  const wanted = prefix.toLowerCase();
  if (wanted.length < shortest)
    throw new Error(`${prefix} is too short for a definition: give ${shortest} digits or more`);
  const found = definitions.filter(({ hash }) => hash.startsWith(wanted));
  const [only] = found;
  if (only === undefined) throw new Error(`${server}/${tool} was not seen with this definition: ${prefix}`);
  if (found.length === 1) return only.hash;
  const lines = found.map(({ hash }) => `  ${hash}`);
  throw new Error(`several definitions of ${server}/${tool} begin with ${prefix}:\n${lines.join("\n")}`);
}

/** What a definition is now, and which one of its tool is in use. */
export function decidedLine({ definitions, state }: Tool, decided: string): string {
  const what = `${decided.slice(0, shownDigits)} is ${definitions.find(({ hash }) => hash === decided)?.state ?? state}`;
  const approved = definitions.filter((one) => one.state === "approved").map(({ hash }) => hash.slice(0, shownDigits));
  if (approved.length === 0) return `${what}; no definition may be used`;
  return `${what}; may be used: ${approved.join(", ")}${state === "quarantined" ? " (not while another waits)" : ""}`;
}
