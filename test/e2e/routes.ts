/** `METHOD /url` of every route that a fastify router has registered, read from the tree that it prints. */
export function routesIn(tree: string): { readonly method: string; readonly url: string }[] {
  const parents: string[] = [];
  return tree.split("\n").flatMap((line) => {
    const [, indent, segment, methods] = /^((?:[│ ] {3})*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?$/.exec(line) ?? [];
    if (indent === undefined || segment === undefined) return [];
    const depth = indent.length / 4;
    const parent = parents[depth - 1] ?? "";
    // The slash before a wildcard is not printed where the wildcard has siblings.
    const url = `${parent}${segment === "*" && !parent.endsWith("/") ? "/" : ""}${segment}`;
    parents[depth] = url;
    return (methods ?? "")
      .split(", ")
      .filter(Boolean)
      .map((method) => ({ method, url }));
  });
}
