import { z } from "zod";
import { pem } from "./pem.ts";
import { secretReference } from "./secret-reference.ts";

/** How the gateway makes TLS connections to one server: what is not said is as for every other. */
export const upstreamTlsSchema = z
  .strictObject({
    /** Who may have issued the server's certificate, and nobody else; without, the authorities that Node trusts. */
    ca: pem("CERTIFICATE").optional(),
    /** The gateway's own certificate with its chain, where the server asks for one. */
    cert: pem("CERTIFICATE").optional(),
    key: secretReference.optional(),
    /** The name that the server's certificate must have, where the address has another one. */
    serverName: z
      .string()
      .regex(/^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/, "must be a host name")
      .optional(),
  })
  .check(({ value, issues }) => {
    for (const [key, other] of [
      ["cert", "key"],
      ["key", "cert"],
    ] as const)
      if (value[key] !== undefined && value[other] === undefined)
        issues.push({ code: "custom", message: `is missing: ${key} needs it`, path: [other], input: value });
  });
export type UpstreamTls = z.infer<typeof upstreamTlsSchema>;

/** TLS of an address that has none would be forgotten silently. */
export function checkTlsIsUsed(
  url: string | undefined,
  tls: UpstreamTls | undefined,
  complain: (message: string) => void,
): void {
  if (tls !== undefined && url !== undefined && !url.startsWith("https://")) complain("needs an https:// address");
}
