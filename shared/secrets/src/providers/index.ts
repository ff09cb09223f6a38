import type { Providers } from "../provider.ts";
import { envProvider } from "./env.ts";
import { fileProvider } from "./file.ts";
import { vaultProvider } from "./vault/index.ts";

/** Every way to keep secrets. One more is a file here (or a directory), a line below, and how its references are written in `shared/contracts/src/secret-reference.ts`. */
export const providers: Providers = {
  env: envProvider,
  file: fileProvider,
  vault: vaultProvider,
};
