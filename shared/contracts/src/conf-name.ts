import { z } from "zod";

/** The name of a tenant or an endpoint. */
export const confName = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    "must be lower-case letters, digits and dashes, at most 63 characters",
  );
