import { describe, expect, it } from "vitest";
import { createAddressGuard } from "./address-guard.ts";
import { upstreamNetworks } from "./networks.ts";

const guardOf = (networks = "") => createAddressGuard(upstreamNetworks.parse(networks));
const closed = guardOf();

describe("what a URL says by itself", () => {
  it.each([
    ...["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1."],
    ...["１２７.0.0.1", "127。0。0。1", "%31%32%37.1", "0", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"],
    ...["169.254.169.254", "0xa9fea9fe", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.1", "198.18.0.1"],
    ...["203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
    ...["[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]"],
    ...["[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::10.0.0.1]", "[2002:7f00:1::]"],
    ...["[2002:a00:1::1]", "[2001::1]", "[fd00::]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fec0::1]"],
    ...["[ff02::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]", "[5f00::1]", "[4000::1]"],
    ...["localhost", "LOCALHOST", "localhost.", "x.localhost", "x.localhost."],
  ])("%s is no public address (A25)", (host) => {
    const refusal = closed.refusalOfUrl(`http://${host}:8080/mcp`);
    expect(refusal?.reason).toContain("set UPSTREAM_NETWORKS");
  });

  it.each(["8.8.8.8", "[2606:4700:4700::1111]", "[::ffff:8.8.8.8]", "mcp.example.com", "localhost.example.com"])(
    "%s passes",
    (host) => {
      expect(closed.refusalOfUrl(`https://${host}/mcp`)).toBeUndefined();
    },
  );
});

describe("what sockets connect to", () => {
  it.each(["127.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", "0.0.0.0", "::", "not an address", ""])(
    "%j is refused (A25)",
    (address) => {
      expect(closed.refusalOf(address)).toBeDefined();
    },
  );

  it("says the address and its kind", () => {
    expect(closed.refusalOf("::ffff:10.0.0.1")).toMatchObject({ address: "10.0.0.1", range: "private" });
  });
});

describe("a network that the operator allowed", () => {
  it("opens its addresses in every spelling, and no other", () => {
    const guard = guardOf("127.0.0.0/8,fd00:1::/32");
    for (const host of ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "localhost", "[fd00:1::5]"])
      expect(guard.refusalOfUrl(`http://${host}/`), host).toBeUndefined();
    for (const host of ["10.0.0.1", "[::1]", "[fd00:2::5]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]"])
      expect(guard.refusalOfUrl(`http://${host}/`), host).toBeDefined();
  });

  it("may be a single address", () => {
    const guard = guardOf("10.0.0.7/32");
    expect(guard.refusalOf("10.0.0.7")).toBeUndefined();
    expect(guard.refusalOf("10.0.0.8")).toBeDefined();
  });
});
