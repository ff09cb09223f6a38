import type { Providers } from "../provider.ts";
import { envProvider } from "./env.ts";
import { fileProvider } from "./file.ts";

/** Every way to keep secrets. One more is a file here, a line below, and how its references are written in `shared/contracts/src/secret-reference.ts`. */
export const providers: Providers = {
  env: envProvider,
  file: fileProvider,
};
