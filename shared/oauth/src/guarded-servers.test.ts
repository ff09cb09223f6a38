import type { LookupAddress } from "node:dns";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createAddressGuard, upstreamNetworks, type GuardedConnectorOptions } from "@sluice/net";
import { request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GuardedServers } from "./guarded-servers.ts";

const guard = createAddressGuard(upstreamNetworks.parse("127.0.0.0/8,10.1.0.0/16"));
const names: Record<string, string> = {
  "as.inside": "127.0.0.1",
  "as.public": "93.184.215.14",
  "as.metadata": "169.254.169.254",
};
const resolve = ((host: string, _options: unknown, callback: (error: null, found: LookupAddress[]) => void) =>
  callback(null, [{ address: names[host] ?? "", family: 4 }])) as unknown as NonNullable<
  GuardedConnectorOptions["resolve"]
>;
const servers = new GuardedServers({ guard, resolve });
const server = createServer((_request, response) => response.end("here"));

beforeAll(() => new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening)));
afterAll(async () => {
  await servers[Symbol.asyncDispose]();
  server.close();
});

const ask = async (address: string) => {
  const url = new URL(address.replace("PORT", String((server.address() as AddressInfo).port)));
  return await (await request(url, { dispatcher: servers.reach(url) })).body.text();
};

describe("an authorization server", () => {
  test.each(["http://127.0.0.1:PORT/", "http://as.inside:PORT/"])(
    "is asked in clear where it is inside: %s",
    async (url) => {
      expect(await ask(url)).toBe("here");
    },
  );

  test.each([
    ["http://93.184.215.14/token", "over https:// only"],
    ["http://as.public/token", "over https:// only"],
    ["http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/token", "over https:// only"],
    ["http://169.254.169.254/token", "no public address"],
    ["https://169.254.169.254/token", "no public address"],
    ["http://as.metadata/token", "no public address"],
    ["https://as.metadata/token", "no public address"],
    ["https://10.2.0.1/token", "no public address"],
    ["https://[::1]/token", "no public address"],
    ["ftp://127.0.0.1/token", "must be an https:// address"],
  ])("A25: %s is not asked", async (url, reason) => {
    await expect(ask(url)).rejects.toThrow(reason);
  });
});
