import type { Protocol, ServiceName } from "@sluice/contracts";

/** How many processes of each service there are, and what egress' are for. */
export interface ReplicaPlan {
  /** Replicas per service; default one. */
  readonly replicas?: Partial<Record<ServiceName, number>>;
  /** Each of these gets as many egress replicas of its own as egress has; default: all of them serve all. */
  readonly egressPools?: readonly Protocol[];
}

export function replicaCount(service: ServiceName, { replicas, egressPools = [] }: ReplicaPlan): number {
  return (replicas?.[service] ?? 1) * (service === "egress" ? Math.max(1, egressPools.length) : 1);
}

/** Pools are dealt out by number, so that a replica that is started anew has its own again. */
export function poolEnv(
  service: ServiceName,
  number: number,
  { egressPools = [] }: ReplicaPlan,
): Readonly<Record<string, string>> {
  const pool = egressPools[(number - 1) % Math.max(1, egressPools.length)];
  return service !== "egress" || pool === undefined ? {} : { EGRESS_POOLS: pool };
}
