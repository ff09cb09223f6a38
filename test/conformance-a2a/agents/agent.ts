import { a2aBindings, type A2aBinding } from "@sluice/contracts";
import { Gates } from "./gates.ts";
import { startRecordedServer, type Ledger } from "./recorded-server.ts";
import { buildV01 } from "./v01.ts";
import { buildV02 } from "./v02.ts";
import { buildV03 } from "./v03.ts";
import { buildV10 } from "./v10.ts";
import type { AgentParts, BuiltAgent } from "./parts.ts";

const builders = { "0.1": buildV01, "0.2": buildV02, "0.3": buildV03, "1.0": buildV10 } as const satisfies Record<
  string,
  (parts: AgentParts) => BuiltAgent
>;

export type AgentVersion = keyof typeof builders;
export const agentVersions = Object.keys(builders) as AgentVersion[];

export interface AgentOptions {
  /** Behaviours that wait go on by themselves after that long; without it, by `release`. */
  readonly tickMs?: number;
  /** Stands in the agent's card. */
  readonly name?: string;
  /** What its card offers, the preferred first, where the revision knows more than JSON-RPC. */
  readonly bindings?: readonly A2aBinding[];
}

/** An agent of one revision on loopback, and what reached it. */
export interface ReferenceAgent extends AsyncDisposable {
  readonly version: AgentVersion;
  /** Its address, to be put into `a2a.endpoints`; its card is below it at the well-known path of its revision. */
  readonly url: string;
  readonly cardUrl: string;
  readonly jsonRpcUrl: string;
  /** Where the revision has that binding. */
  readonly restUrl: string | undefined;
  readonly ledger: Ledger;
  readonly gates: Pick<Gates, "release" | "waiting">;
}

export async function startAgent(version: AgentVersion, options: AgentOptions = {}): Promise<ReferenceAgent> {
  const { tickMs, name = `Reference ${version}`, bindings = a2aBindings } = options;
  const gates = new Gates(tickMs);
  let built: BuiltAgent | undefined;
  const server = await startRecordedServer((url) => {
    built = builders[version]({ url, name, bindings, gates });
    return built.listener;
  });
  return {
    version,
    url: server.origin,
    cardUrl: `${server.origin}${built?.cardPath}`,
    jsonRpcUrl: `${server.origin}${built?.jsonRpcPath}`,
    restUrl: built?.restPath === undefined ? undefined : `${server.origin}${built.restPath}`,
    ledger: server.ledger,
    gates,
    [Symbol.asyncDispose]: async () => {
      gates.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
