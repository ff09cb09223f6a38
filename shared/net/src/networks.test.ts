import { describe, expect, it } from "vitest";
import { upstreamNetworks } from "./networks.ts";

const written = (text: string | undefined) =>
  upstreamNetworks.parse(text).map(([address, bits]) => `${address.toString()}/${bits}`);

describe("UPSTREAM_NETWORKS", () => {
  it("is empty unless it is set", () => {
    expect(written(undefined)).toEqual([]);
    expect(written("")).toEqual([]);
  });

  it("is a comma-separated list of networks", () => {
    expect(written("10.0.0.0/8, 127.0.0.0/8,::1/128,fd00::/8,0.0.0.0/0,")).toEqual([
      "10.0.0.0/8",
      "127.0.0.0/8",
      "::1/128",
      "fd00::/8",
      "0.0.0.0/0",
    ]);
  });

  it.each([
    ["intranet", /entry 1 is no network: write it like 10\.0\.0\.0\/8/],
    ["10.0.0.0/8,10.1", /entry 2 is no network/],
    ["0x7f.0.0.0/8", /is no network/],
    ["127.1/8", /is no network/],
    ["10.0.0.0/8/8", /is no network/],
    ["10.1.2.3", /write 10\.1\.2\.3\/32/],
    ["::1", /write ::1\/128/],
    ["10.0.0.0/", /write 10\.0\.0\.0\/32/],
    ["10.0.0.0/33", /more bits/],
    ["fd00::/129", /more bits/],
    ["10.1.2.3/8", /write 10\.0\.0\.0\/8/],
    ["fd12:3456::1/20", /write fd12:3000::\/20/],
    ["::ffff:10.0.0.0/104", /write the IPv4 network/],
  ])("%s is refused, and the reason says what to write", (text, reason) => {
    expect(
      upstreamNetworks
        .safeParse(text)
        .error?.issues.map(({ message }) => message)
        .join(),
    ).toMatch(reason);
  });
});
