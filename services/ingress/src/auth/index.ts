import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "@sluice/contracts";
import type { Principal, Tenants } from "../tenants.ts";
import { apiKey } from "./api-key.ts";

/** One way to say who calls: a principal, or undefined where these headers do not speak to it. Must not be slow or guessable. */
export type AuthMethod = (headers: IncomingHttpHeaders, tenants: Tenants) => Principal | undefined;

const methods: readonly AuthMethod[] = [apiKey];

/** @throws Fault `unauthorized`, the same for a missing, wrong or malformed credential. */
export function authenticate(headers: IncomingHttpHeaders, tenants: Tenants): Principal {
  for (const method of methods) {
    const principal = method(headers, tenants);
    if (principal !== undefined) return principal;
  }
  throw new Fault("unauthorized", "send a valid API key in x-agent-api-key or as Authorization: Bearer");
}
