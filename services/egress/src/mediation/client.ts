import type { Client } from "./peer.ts";

/** A legacy client that can be asked to fill in a form says so with an empty object. */
export function modernClient(client: Client): Client {
  const { elicitation, sampling, roots } = client.capabilities;
  const capabilities = {
    ...(elicitation !== undefined && { elicitation: isEmpty(elicitation) ? { form: {} } : elicitation }),
    ...(sampling !== undefined && { sampling }),
    ...(roots !== undefined && { roots: {} }),
  };
  return { ...client, capabilities };
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
