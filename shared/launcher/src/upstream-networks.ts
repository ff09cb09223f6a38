/** This machine alone: where upstreams of a house may be unless UPSTREAM_NETWORKS of its environment says it. */
export const upstreamNetworksHere = (): string => process.env["UPSTREAM_NETWORKS"] ?? ownNetworks;

const ownNetworks = "127.0.0.0/8,::1/128";
