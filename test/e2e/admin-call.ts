import type { TestHouse } from "@sluice/testing";

export interface AdminCall {
  readonly path: string;
  /** POST where there is a body, else GET. */
  readonly method?: string;
  readonly body?: unknown;
  /** Default: ADMIN_TOKEN. */
  readonly token?: string | undefined;
}

export interface AdminAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Asks the admin API of a house. */
export async function adminCall({ house }: TestHouse, call: AdminCall): Promise<AdminAnswer> {
  const token = "token" in call ? call.token : house.adminToken;
  const hasBody = call.body !== undefined;
  const answer = await fetch(`${house.adminUrl}${call.path}`, {
    method: call.method ?? (hasBody ? "POST" : "GET"),
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(hasBody && { "content-type": "application/json" }),
    },
    ...(hasBody && { body: JSON.stringify(call.body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}
