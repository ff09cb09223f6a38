import { apiKeyEndpoint } from "./api-key-endpoint.ts";
import { apiKey } from "./api-key.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { gatewayToken } from "./gateway-token.ts";
import { oauth2 } from "./oauth2.ts";

/** In the order in which they are asked: the first that knows who calls decides. Those that ask others come last. */
export const authMethods: readonly ((context: AuthContext) => AuthMethod)[] = [
  gatewayToken,
  apiKey,
  oauth2,
  apiKeyEndpoint,
];
