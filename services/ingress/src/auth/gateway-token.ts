import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { credentialHash, isCredentialText } from "@sluice/contracts";
import type { Principal } from "../tenants.ts";
import { InvalidCredential } from "./asked-credentials.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { bearerOf } from "./bearer.ts";
import type { Issued } from "./issued.ts";

/** Gateway tokens, which control makes for a run of an agent: as a bearer token, with no API key beside it. One that is not good is shown to nobody else. */
class GatewayTokens implements AuthMethod {
  readonly name = "gatewayToken";
  readonly #issued: Issued;
  #keyHeadersOf = new Map<string, readonly string[]>();

  constructor(issued: Issued) {
    this.#issued = issued;
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#keyHeadersOf = new Map(
      [...sections].map(([tenant, { keyHeaders }]) => [tenant, keyHeaders.map((name) => name.toLowerCase())]),
    );
  }

  authenticate({ headers }: Pick<IncomingMessage, "headers">): Principal | undefined {
    const text = bearerOf(headers);
    if (text === undefined || !isCredentialText("token", text)) return undefined;
    const principal = this.#issued.find("token", credentialHash(text));
    if (principal === undefined) throw new InvalidCredential();
    const keyHeaders = this.#keyHeadersOf.get(principal.tenant) ?? [];
    if (keyHeaders.some((name) => headers[name] !== undefined)) throw new InvalidCredential();
    return principal;
  }

  knows({ tenant, agent, credential }: Principal): boolean {
    const now = this.#issued.find("token", credential);
    return now !== undefined && now.tenant === tenant && now.agent.id === agent.id;
  }
}

export const gatewayToken = ({ issued }: Pick<AuthContext, "issued">): AuthMethod => new GatewayTokens(issued);
