import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { credentialHash, isCredentialText } from "@sluice/contracts";
import { isSameAgent, type Principal } from "../tenants.ts";
import { InvalidCredential } from "./asked-credentials.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { bearerOf } from "./bearer.ts";
import type { Issued } from "./issued.ts";
import { showsKey } from "./key-headers.ts";

/** Gateway tokens, which control makes for a run of an agent: as a bearer token, with no API key beside it. One that is not good is shown to nobody else. */
class GatewayTokens implements AuthMethod {
  readonly name = "gatewayToken";
  readonly #issued: Issued;
  #sections: SectionMap<"ingress"> = new Map();

  constructor(issued: Issued) {
    this.#issued = issued;
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#sections = sections;
  }

  authenticate({ headers }: Pick<IncomingMessage, "headers">): Principal | undefined {
    const text = bearerOf(headers);
    if (text === undefined || !isCredentialText("token", text)) return undefined;
    const principal = this.#issued.find("token", credentialHash(text));
    if (principal === undefined || showsKey(headers, this.#sections.get(principal.tenant)))
      throw new InvalidCredential();
    return principal;
  }

  knows(principal: Principal): boolean {
    return isSameAgent(this.#issued.find("token", principal.credential), principal);
  }
}

export const gatewayToken = ({ issued }: Pick<AuthContext, "issued">): AuthMethod => new GatewayTokens(issued);
