import type { EditionAbout } from "@sluice/bus";
import { z } from "zod";

/** A kept version of the configuration, as routes tell it. */
export const editionSchema = z.object({
  version: z.int(),
  at: z.iso.datetime().describe("when it came into force"),
  by: z.union([
    z.object({ kind: z.literal("file") }).describe("somebody edited the file"),
    z
      .object({ kind: z.literal("rollback"), operator: z.string(), to: z.int() })
      .describe("an operator went back to the text of an earlier version"),
  ]),
  sha256: z.string().describe("of the text, in hex"),
  bytes: z.int(),
  tenants: z.int(),
  isKept: z.boolean().describe("false where the text was too large to be kept"),
});

export function editionOf({ digest: _digest, at, ...about }: EditionAbout): z.input<typeof editionSchema> {
  return { ...about, at: new Date(at).toISOString() };
}

/** A version as it stands in a path or query. */
export const versionText = z.coerce.number("must be a version's number").int().min(1);
