import type { TestHouse } from "@sluice/testing";
import { adminCall, type AdminAnswer } from "./admin-call.ts";
import type { OfficialClient } from "./official-clients.ts";

export interface PinnedTool {
  readonly server: string;
  readonly tool: string;
  readonly state: "approved" | "quarantined" | "rejected";
  readonly definitions: { readonly hash: string; readonly state: string; readonly by?: string }[];
}

/** A tenant's tools as an operator sees them and decides about them. */
export class ToolPins {
  readonly #house: TestHouse;
  readonly #path: string;

  constructor(house: TestHouse, tenant: string) {
    this.#house = house;
    this.#path = `/v1/tenants/${tenant}/tools`;
  }

  async all(query = ""): Promise<PinnedTool[]> {
    return (await adminCall(this.#house, { path: `${this.#path}${query}` })).body["tools"] as PinnedTool[];
  }

  async find(server: string, tool: string): Promise<PinnedTool | undefined> {
    return (await this.all(`?server=${server}`)).find((one) => one.tool === tool);
  }

  async pending(server: string, tool: string): Promise<string | undefined> {
    return (await this.find(server, tool))?.definitions.find(({ state }) => state === "pending")?.hash;
  }

  /** Decides about what waits, or about this definition. */
  async decide(
    verb: "approve" | "reject",
    [server, tool]: readonly [string, string],
    definition?: string,
  ): Promise<AdminAnswer> {
    const path = `${this.#path}/${server}/${encodeURIComponent(tool)}/${verb}`;
    return await adminCall(this.#house, {
      path,
      body: { definition: definition ?? (await this.pending(server, tool)) },
    });
  }

  async diff(server: string, tool: string): Promise<string> {
    const path = `${this.#path}/${server}/${encodeURIComponent(tool)}/diff`;
    return String((await adminCall(this.#house, { path })).body["diff"]);
  }
}

export async function namesOf(client: OfficialClient): Promise<string[]> {
  return (await client.listTools()).tools.map(({ name }) => name).toSorted();
}
