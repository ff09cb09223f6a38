import type { SectionMap } from "@sluice/bus";
import type { CallHead, EgressSection, Endpoint, PrefixMode, ToolDefinitions } from "@sluice/contracts";
import type { ClosedEndpoint } from "./closed-endpoints.ts";
import { ConnectedEndpoints, type Connected, type ConnectedOptions } from "./connected-endpoints.ts";

/** One MCP server of a tenant, ready to be called. */
export type Upstream = Connected<Endpoint>;

/** The MCP servers of all tenants, and what the configuration says of how they share names. */
export class Upstreams extends ConnectedEndpoints<Endpoint> {
  #names = new Map<string, readonly string[]>();
  #prefixModes = new Map<string, PrefixMode>();
  #refusals = new Map<string, Pick<EgressSection, "hidesQuarantine" | "deniedWith200">>();

  constructor(options: ConnectedOptions) {
    super("mcp", options);
  }

  /** A tenant's endpoints in the order of the configuration, those that can't be used included: names are about all. */
  namesOf(tenant: string): readonly string[] {
    return this.#names.get(tenant) ?? [];
  }

  /** How far the definitions of a server's tools are held to what was approved. */
  modeOf({ tenant, server }: { tenant: string; server: string }): ToolDefinitions {
    return this.find(tenant, server)?.endpoint.toolDefinitions ?? "off";
  }

  /** HTTP status under which a tool in quarantine is told. */
  quarantineStatus({ tenant, isPlain }: Pick<CallHead, "tenant" | "isPlain">): number {
    const { hidesQuarantine = false, deniedWith200 = false } = this.#refusals.get(tenant) ?? {};
    if (isPlain === true) return hidesQuarantine ? 404 : 403;
    return hidesQuarantine || deniedWith200 ? 200 : 403;
  }

  prefixModeOf(tenant: string): PrefixMode {
    return this.#prefixModes.get(tenant) ?? "conditional";
  }

  /** Takes over a version of the configuration; returns the endpoints that stay closed under it. */
  configure(sections: SectionMap<"egress">): readonly ClosedEndpoint[] {
    const closed = this.connect(new Map([...sections].map(([tenant, { endpoints }]) => [tenant, endpoints])));
    this.#names = new Map([...sections].map(([tenant, { endpoints }]) => [tenant, endpoints.map(({ name }) => name)]));
    this.#prefixModes = new Map([...sections].map(([tenant, { toolPrefix }]) => [tenant, toolPrefix]));
    this.#refusals = new Map(sections);
    return closed;
  }
}
