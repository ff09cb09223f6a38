import type { Dialect } from "@sluice/contracts";
import type { A2aClient, ClientOptions } from "./client.ts";
import { connectV01 } from "./raw-v01.ts";
import { connectV02 } from "./raw-v02.ts";
import { connectV03 } from "./sdk-v03.ts";
import { connectV10 } from "./sdk-v10.ts";

export const clientDialects = [
  { version: "1.0", binding: "JSONRPC" },
  { version: "1.0", binding: "HTTP+JSON" },
  { version: "0.3", binding: "JSONRPC" },
  { version: "0.3", binding: "HTTP+JSON" },
  { version: "0.2", binding: "JSONRPC" },
  { version: "0.1", binding: "JSONRPC" },
] as const satisfies readonly Dialect[];

/** A client that has read the card below `baseUrl`. */
export function connectClient({ version, binding }: Dialect, options: ClientOptions): Promise<A2aClient> {
  if (version === "1.0") return connectV10(binding, options);
  if (version === "0.3") return connectV03(binding, options);
  return version === "0.2" ? connectV02(options) : connectV01(options);
}
