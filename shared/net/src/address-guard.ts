import ipaddr from "ipaddr.js";
import type { Network } from "./networks.ts";

/** Why an address may not be connected to. Holds internal addresses: for operators, never for callers. */
export interface Refusal {
  /** As it would be connected to. */
  readonly address: string;
  /** Such as `loopback` or `private`. */
  readonly range: string;
  /** A sentence with what to set. */
  readonly reason: string;
}

/** Decides which addresses may be connected to: public ones, and those of networks that the operator allowed. */
export interface AddressGuard {
  /** Judges an address as sockets take it: four decimal parts or IPv6. Whatever can't be read is refused. */
  refusalOf(address: string): Refusal | undefined;
  /**
   * Judges what a URL says by itself, before any name is resolved: addresses in every spelling, and `localhost`.
   * Other names pass here and are judged when connecting.
   */
  refusalOfUrl(url: string): Refusal | undefined;
}

/** Where the Internet's addresses are; all other IPv6 is reserved, local, or IPv4 in disguise. */
const globalIpv6 = ipaddr.IPv6.parseCIDR("2000::/3");
/** Public by their range, and yet a cloud's own inside: Azure's host. */
const insideAll = [ipaddr.IPv4.parseCIDR("168.63.129.16/32")];
const loopback = ["127.0.0.1", "::1"];

export function createAddressGuard(allowed: readonly Network[]): AddressGuard {
  const refusalOf = (text: string): Refusal | undefined => {
    if (!ipaddr.isValid(text)) return refusal(text, "unreadable");
    const address = ipaddr.process(text);
    if (allowed.some((network) => holds(network, address))) return undefined;
    const range = rangeOf(address);
    return range === undefined ? undefined : refusal(address.toString(), range);
  };
  return {
    refusalOf,
    refusalOfUrl: (url) => {
      const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
      if (/(?:^|\.)localhost\.?$/i.test(host)) {
        const refusals = loopback.map((address) => refusalOf(address));
        return refusals.includes(undefined) ? undefined : refusals[0];
      }
      return ipaddr.isValid(host) ? refusalOf(host) : undefined;
    },
  };
}

function holds([first, bits]: Network, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (first instanceof ipaddr.IPv4) return address instanceof ipaddr.IPv4 && address.match(first, bits);
  return address instanceof ipaddr.IPv6 && address.match(first, bits);
}

/** What is special about an address; undefined for a public one. */
function rangeOf(address: ipaddr.IPv4 | ipaddr.IPv6): string | undefined {
  const range = address.range();
  if (range !== "unicast") return range;
  if (address instanceof ipaddr.IPv6) return address.match(globalIpv6) ? undefined : "reserved";
  return insideAll.some((network) => address.match(network)) ? "reserved" : undefined;
}

function refusal(address: string, range: string): Refusal {
  const reason = `${address} is no public address (${range}); to allow it, set UPSTREAM_NETWORKS of control, egress and ingress to a network that holds it`;
  return { address, range, reason };
}
