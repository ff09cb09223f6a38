import { apiKey } from "./api-key.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";

/** In the order in which they are asked: the first that knows who calls decides. */
export const authMethods: readonly ((context: AuthContext) => AuthMethod)[] = [apiKey];
