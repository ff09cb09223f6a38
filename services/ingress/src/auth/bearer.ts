import type { IncomingHttpHeaders } from "node:http";

const form = /^Bearer +([\x21-\x7e]+)$/i;

/** The credential of `Authorization: Bearer …` (RFC 6750 §2.1). */
export function bearerOf({ authorization }: IncomingHttpHeaders): string | undefined {
  return authorization === undefined ? undefined : form.exec(authorization)?.[1];
}
