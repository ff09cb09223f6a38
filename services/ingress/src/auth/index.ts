import { apiKey } from "./api-key.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { gatewayToken } from "./gateway-token.ts";

/** In the order in which they are asked: the first that knows who calls decides. */
export const authMethods: readonly ((context: AuthContext) => AuthMethod)[] = [gatewayToken, apiKey];
