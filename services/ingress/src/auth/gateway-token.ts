import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { credentialHash, isCredentialText } from "@sluice/contracts";
import type { Principal } from "../tenants.ts";
import { unauthorized, type AuthContext, type AuthMethod } from "./auth-method.ts";
import type { Issued } from "./issued.ts";

const bearer = /^Bearer +(slt_[\x21-\x7e]+)$/i;

/** Gateway tokens, which control makes for a run of an agent: as a bearer token, with no API key beside it. */
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
    const text = bearer.exec(headers.authorization ?? "")?.[1];
    if (text === undefined || !isCredentialText("token", text)) return undefined;
    const principal = this.#issued.find("token", credentialHash(text));
    if (principal === undefined) return undefined;
    const keyHeaders = this.#keyHeadersOf.get(principal.tenant) ?? [];
    if (keyHeaders.some((name) => headers[name] !== undefined)) throw unauthorized();
    return principal;
  }

  knows({ tenant, agent, credential }: Principal): boolean {
    const now = this.#issued.find("token", credential);
    return now !== undefined && now.tenant === tenant && now.agent.id === agent.id;
  }
}

export const gatewayToken = ({ issued }: Pick<AuthContext, "issued">): AuthMethod => new GatewayTokens(issued);
