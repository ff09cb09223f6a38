import { z } from "zod";

/** Where a secret is kept; the service that needs it reads it there, and the configuration never holds it. */
export const secretReference = z
  .string()
  .regex(/^\$\{(?:env|file):[^}]+\}$/, "must be a reference: ${env:NAME} or ${file:PATH}");
