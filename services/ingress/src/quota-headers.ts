import type { Quota } from "@sluice/contracts";

/** Header fields that tell an agent of the limits that counted its call (draft-ietf-httpapi-ratelimit-headers-11). */
export type QuotaHeaders = Readonly<Record<string, string>>;

export function quotaHeaders(quotas: readonly Quota[] | undefined): QuotaHeaders | undefined {
  if (quotas === undefined || quotas.length === 0) return undefined;
  return {
    "ratelimit-policy": quotas.map(({ policy }) => policy).join(", "),
    ratelimit: quotas.map(serviceLimit).join(", "),
  };
}

/** What is left of a policy, by the name that its item begins with. */
function serviceLimit({ policy, left, seconds }: Quota): string {
  const name = policy.slice(0, policy.indexOf(";"));
  return seconds === undefined ? `${name};r=${left}` : `${name};r=${left};t=${seconds}`;
}
