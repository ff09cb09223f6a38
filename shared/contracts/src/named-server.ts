import type { TargetKind } from "./audit.ts";
import type { IngressSection } from "./sections.ts";
import { allServers } from "./call.ts";

/** What a request names, by which method. */
interface Named {
  readonly method: string;
  readonly target?: string | undefined;
  readonly targetKind?: TargetKind | undefined;
}

/** What stands between a server's name and a name of its own, where servers share an address. */
export function prefixSeparatorOf({ method, targetKind }: Pick<Named, "method" | "targetKind">): "+" | "_" {
  return method.startsWith("resources/") || targetKind === "resources" ? "+" : "_";
}

/**
 * What a server itself calls the thing that a request names: rules are about that, whatever address it was reached by.
 * Where servers share an address, a name that begins with a server's name and the separator is that server's.
 * @param server that the name begins with (`namedServer`)
 */
export function ownName({ target: name }: Pick<Named, "target">, server: string | undefined): string | undefined {
  return server === undefined ? name : name?.slice(server.length + 1);
}

/** The server that a name at the address of all of them begins with; undefined where it says none. */
export function namedServer(
  address: string,
  named: Named,
  {
    servers,
    toolPrefix,
  }: Pick<IngressSection, "toolPrefix"> & { readonly servers: readonly { readonly name: string }[] },
): string | undefined {
  const { target: name } = named;
  if (name === undefined || address !== allServers || toolPrefix === "never") return undefined;
  const at = name.indexOf(prefixSeparatorOf(named));
  return at > 0 ? servers.find((server) => server.name === name.slice(0, at))?.name : undefined;
}
