import { Fault, longestTarget } from "@sluice/contracts";
import { compile, cutElements, raw, scan } from "@sluice/json";

/** What the gateway wants to know of a message from an upstream; the bytes themselves are relayed. */
export interface Observation {
  /** The answer to the request with this raw JSON id; undefined for anything but an answer. */
  readonly answers: string | undefined;
  readonly isError: boolean;
}

const observed = compile([["id"], ["method"], ["error"], ["result", "isError"]], []);
const nothing: Observation = { answers: undefined, isError: false };

/** Looks at a message without judging it: what cannot be read is simply not observed. */
export function observe(bytes: Buffer): Observation {
  const seen = scan(bytes, observed);
  if (!seen.ok) return nothing;
  const [id, method, error, isError] = seen.values;
  if (id === undefined || method !== undefined) return nothing;
  return { answers: raw(bytes, id).toString("utf8"), isError: error !== undefined || isError?.kind === "true" };
}

const listed = compile([{ path: ["result", "tools"], items: true, itemName: "name" }]);

/** Decides which of these tools may be seen. */
export type ToolFilter = (names: string[]) => Promise<readonly boolean[]>;

/**
 * Cuts the tools out of a list answer that the filter hides, or that cannot be called; what stays keeps its bytes.
 * @throws Fault `upstream_failed` where the answer cannot be read for certain: it is then not shown at all.
 */
export async function hideTools(bytes: Buffer, filter: ToolFilter): Promise<Buffer> {
  const seen = scan(bytes, listed);
  if (!seen.ok) throw new Fault("upstream_failed", "the upstream's list of tools is not unambiguous JSON");
  if (seen.root.kind !== "object") throw new Fault("upstream_failed", "the upstream's answer is no single message");
  const tools = seen.values[0];
  if (tools?.items === undefined) return bytes;
  const names = tools.items.map(({ name }) => (name !== undefined && name.length <= longestTarget ? name : undefined));
  const keep = await filter(names.map((name) => name ?? ""));
  if (keep.length !== names.length) throw new Fault("internal", "policy's answer does not fit the list");
  return cutElements(
    bytes,
    tools,
    names.map((name, index) => name !== undefined && keep[index] === true),
  );
}
