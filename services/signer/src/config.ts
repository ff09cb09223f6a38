import { databaseUrl, integer, list, pemFile } from "@sluice/runtime";
import { z } from "zod";
import { readAcceptance, type Acceptance } from "./acceptance.ts";
import { BadKey, NoteSigner } from "./note.ts";

const key = z
  .string({ error: "is missing: make a key with: sluice audit keygen --name NAME --out FILE" })
  .transform((text, context) => {
    try {
      return new NoteSigner(text.trim());
    } catch (error) {
      context.addIssue(error instanceof BadKey ? error.message : "it is no key");
      return z.NEVER;
    }
  });

const acceptances = list.transform((texts, context): readonly Acceptance[] =>
  texts.flatMap((text) => {
    const acceptance = readAcceptance(text);
    if (acceptance === undefined)
      context.addIssue("must be <log>@<size>:<root in hex>, or several with commas between");
    return acceptance ?? [];
  }),
);

/** What the signer reads from the environment beside the base settings. */
export const configSchema = z.object({
  DATABASE_URL: databaseUrl,
  DATABASE_CA_FILE: pemFile,
  DATABASE_CERT_FILE: pemFile,
  DATABASE_KEY_FILE: pemFile,
  /** The private key in the form of c2sp.org/signed-note. */
  SIGNER_KEY: key,
  /** Begins the origin of every log; the key's name unless said. */
  SIGNER_ORIGIN: z
    .string()
    .regex(/^[^\s+\p{Cc}]+$/u, "must be a name without spaces and +, such as example.com/audit")
    .optional(),
  SIGNER_INTERVAL_MS: integer(100, 3_600_000).default(10_000),
  /** Where checkpoints go beside Postgres and NATS. */
  SIGNER_FILE: z.string().min(1, "must name a file").optional(),
  SIGNER_HTTP_URL: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" }).optional(),
  SIGNER_HTTP_TOKEN: z.string().min(1, "must not be empty").optional(),
  /** Trees that count though they do not come after those that were signed. */
  SIGNER_ACCEPT: acceptances.default([]),
});
export type SignerConfig = z.infer<typeof configSchema>;
