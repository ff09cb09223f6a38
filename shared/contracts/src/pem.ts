import { z } from "zod";
import { secretReference } from "./secret-reference.ts";

/** Certificates may be written into the configuration, or lie where a reference says, now and after each change. */
export const pem = (what: string) =>
  z.union([secretReference, z.string().regex(new RegExp(`^\\s*-----BEGIN ${what}-----`))], {
    error: `must be a reference such as \${file:PATH}, or text in PEM that begins with -----BEGIN ${what}-----`,
  });
