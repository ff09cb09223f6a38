import { z } from "zod";
import { pem } from "./pem.ts";

const pattern = z
  .string()
  .min(1)
  .max(512)
  .refine((text) => text.split("*").length <= 2, "may hold one * at most");

/** Where an agent's id is looked for in its certificate. */
export const certificateNames = ["uri", "dns", "email", "commonName"] as const;
export type CertificateName = (typeof certificateNames)[number];

const certificateAgentSchema = z
  .strictObject({
    /** A subject alternative name, such as `spiffe://acme.example/agent/*`. `*` stands for one or more characters. */
    uri: pattern.optional(),
    dns: pattern.optional(),
    email: pattern.optional(),
    /** The subject's common name. */
    commonName: pattern.optional(),
    /** The agent that this is; `*` in it is what `*` stood for in the name, which alone is the id unless said. */
    agentId: z
      .string()
      .regex(/^[A-Za-z0-9._@:*-]{1,128}$/, "must be 1 to 128 letters, digits or . _ @ : - and one * at most")
      .optional(),
    name: z.string().max(256).optional(),
    owner: z.string().max(256).optional(),
  })
  .check(({ value, issues }) => {
    const complain = (path: string[], message: string) => issues.push({ code: "custom", message, path, input: value });
    const named = certificateNames.flatMap((kind) => value[kind] ?? []);
    if (named.length !== 1) complain([], `needs exactly one of ${certificateNames.join(", ")}`);
    const isOpen = named[0]?.includes("*") === true;
    if (!isOpen && value.agentId === undefined)
      complain(["agentId"], "is missing: the name has no * that could say it");
    if (!isOpen && value.agentId?.includes("*") === true) complain(["agentId"], "has a *, and the name has none");
    if ((value.agentId?.split("*").length ?? 1) > 2) complain(["agentId"], "may hold one * at most");
  });

/** Client certificates (mTLS): which authority vouches, and whose certificate is which agent. */
export const mtlsSchema = z.strictObject({
  type: z.literal("mtls"),
  /** Each certificate in it may vouch for this tenant's agents, and no other may. */
  ca: pem("CERTIFICATE"),
  /** Revocation lists, one of each authority that vouches. */
  crl: pem("X509 CRL").optional(),
  /** What no entry fits is nobody; what entries take for different agents is too. */
  agents: z.array(certificateAgentSchema).min(1),
});
export type Mtls = z.infer<typeof mtlsSchema>;
