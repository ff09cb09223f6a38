import type { CallHead } from "@sluice/contracts";
import { compile, scan, value } from "@sluice/json";
import type { ActiveCall } from "../active-call.ts";
import type { ListFilter } from "../messages.ts";
import { definitionIn } from "./definition.ts";
import type { ListedTools, ToolGate } from "./tool-gate.ts";

export interface RelayedToolsOptions {
  readonly gate: ToolGate;
  /** What the server of a call lists to its caller, whose client can do this. */
  readonly list: (head: CallHead, capabilities: Capabilities, isAnew: boolean) => Promise<ListedTools>;
}

type Capabilities = Readonly<Record<string, unknown>>;

/** The hashes of a kept page's tools, once somebody has made them. */
export interface PageHashes {
  of?: readonly string[];
}

const introduced = compile([["params", "_meta", "io.modelcontextprotocol/clientCapabilities"]], []);

/** Holds calls that are relayed byte for byte to the definitions that were approved. */
export class RelayedTools {
  readonly #options: RelayedToolsOptions;

  constructor(options: RelayedToolsOptions) {
    this.#options = options;
  }

  /** Before a call is sent: what it calls must be usable, and what the server had at first sight be known. @throws Fault */
  async admit(call: ActiveCall, body: Buffer): Promise<void> {
    const { head } = call;
    const { gate } = this.#options;
    const list = (isAnew: boolean) => this.#options.list(head, capabilitiesIn(head, body), isAnew);
    if (head.method === "tools/call" && gate.enforces(head))
      call.definition = await gate.requireUsable(placeOf(head), head.target ?? "", list);
    else if (head.method === "tools/list" && gate.watches(head) && !gate.isSeen(head)) await list(false);
  }

  /** Hides what is in quarantine beside what policy hides. @param kept of the one page that is filtered, where it is one */
  filter(head: CallHead, policy: ListFilter, kept?: PageHashes): ListFilter {
    const { gate } = this.#options;
    if (!gate.watches(head)) return policy;
    const place = placeOf(head);
    return async (kind, names, bytesOf) => {
      const [allowed, hashes] = await Promise.all([
        policy(kind, names, bytesOf),
        kind === "tools" ? (kept?.of ?? this.#look(head, names, bytesOf)) : undefined,
      ]);
      if (hashes === undefined) return allowed;
      if (kept !== undefined) kept.of = hashes;
      const byTool = Map.groupBy(hashes.keys(), (index) => names[index] ?? "");
      const shown = (name: string) =>
        gate.shows(
          place,
          name,
          byTool.get(name)?.map((index) => hashes[index] ?? ""),
        );
      return names.map((name, index) => allowed[index] === true && shown(name));
    };
  }

  async #look(
    head: CallHead,
    names: readonly string[],
    bytesOf: (index: number) => Buffer,
  ): Promise<readonly string[]> {
    const definitions = names.map((name, index) => definitionIn(name, bytesOf(index)));
    await this.#options.gate.inspect(placeOf(head), definitions, { isWhole: false });
    return definitions.map(({ hash }) => hash);
  }
}

function placeOf({ tenant, server }: CallHead): { tenant: string; server: string } {
  return { tenant, server };
}

/** What the client can do, as far as the call itself says so. */
function capabilitiesIn(head: CallHead, body: Buffer): Capabilities {
  const seen = head.era === "modern" && head.chunked === undefined ? scan(body, introduced) : undefined;
  const said = seen?.ok === true ? value(body, seen.values[0]) : undefined;
  return typeof said === "object" && said !== null ? (said as Capabilities) : {};
}
