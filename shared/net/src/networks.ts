import ipaddr from "ipaddr.js";
import { z } from "zod";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A block of addresses: the first one and how many leading bits they share. */
export type Network = readonly [address: Address, bits: number];

/** What every service that connects to addresses from a configuration or from outside reads as UPSTREAM_NETWORKS. */
export const upstreamNetworks = z
  .string()
  .default("")
  .transform((text, context) => {
    const networks: Network[] = [];
    for (const [index, part] of text.split(",").entries()) {
      if (part.trim() === "") continue;
      const read = readNetwork(part.trim());
      if (typeof read === "string") context.addIssue({ code: "custom", message: `entry ${index + 1} ${read}` });
      else networks.push(read);
    }
    return networks;
  });

/** A network in CIDR notation, or what is wrong with the text. */
function readNetwork(text: string): Network | string {
  const [address = "", bits = "", ...rest] = text.split("/");
  const strict = address.includes(":") ? ipaddr.IPv6.isValid(address) : ipaddr.IPv4.isValidFourPartDecimal(address);
  if (!strict || rest.length > 0) return "is no network: write it like 10.0.0.0/8 or fd00::/8";
  const parsed = ipaddr.parse(address);
  const single = `${parsed.toString()}/${parsed.kind() === "ipv4" ? 32 : 128}`;
  if (!/^\d{1,3}$/.test(bits)) return `is no network: write ${single} for this one address`;
  if (Number(bits) > parsed.toByteArray().length * 8) return "has more bits than an address";
  if (parsed instanceof ipaddr.IPv6 && parsed.range() === "ipv4Mapped")
    return "is written as IPv6: write the IPv4 network, which covers its IPv6 spelling too";
  const first = firstOf(parsed, Number(bits));
  if (first !== parsed.toString()) return `begins in the middle of a network: write ${first}/${bits}`;
  return [parsed, Number(bits)];
}

function firstOf(address: Address, bits: number): string {
  const bytes = address.toByteArray().map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & (0xff00 >> kept) & 0xff;
  });
  return ipaddr.fromByteArray(bytes).toString();
}
