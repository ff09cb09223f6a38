import type { lookup, LookupAddress } from "node:dns";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAddressGuard } from "./address-guard.ts";
import { guardedAgent, type AddressRefused } from "./guarded-connector.ts";
import { upstreamNetworks } from "./networks.ts";

let server: Server;
let port: number;
let served = 0;

beforeAll(async () => {
  server = createServer((_request, response) => {
    served++;
    response.end("inside");
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  port = (server.address() as AddressInfo).port;
});
beforeEach(() => (served = 0));
afterAll(() => void server.close());

/** A resolver that answers each question with the next of these. */
function resolverOf(...answers: string[][]) {
  const asked: string[] = [];
  const resolve = ((host: string, _options: unknown, callback: (error: null, found: LookupAddress[]) => void) => {
    const answer = answers[asked.push(host) - 1] ?? [];
    callback(
      null,
      answer.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  }) as typeof lookup;
  return { asked, resolve };
}

async function ask(host: string, networks: string, resolve?: typeof lookup) {
  const refused: AddressRefused[] = [];
  const guard = createAddressGuard(upstreamNetworks.parse(networks));
  const onRefused = (error: AddressRefused) => refused.push(error);
  const dispatcher = guardedAgent({ guard, onRefused, ...(resolve && { resolve }) });
  try {
    const { body } = await request(`http://${host}:${port}/`, { dispatcher });
    return { text: await body.text(), refused };
  } catch (error) {
    return { error: error as NodeJS.ErrnoException, refused };
  } finally {
    await dispatcher.destroy();
  }
}

describe("a connection", () => {
  it.each(["127.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "localhost"])(
    "to %s is refused unless its network is allowed (A25)",
    async (host) => {
      const { error, refused } = await ask(host, "");
      expect(error?.code).toBe("ADDRESS_REFUSED");
      expect(refused.map(({ message }) => message).join()).toMatch(/set UPSTREAM_NETWORKS/);
      expect(served).toBe(0);
    },
  );

  it.each(["127.0.0.1", "127.1", "[::ffff:127.0.0.1]"])("to %s stands where it is", async (host) => {
    expect(await ask(host, "127.0.0.0/8")).toMatchObject({ text: "inside", refused: [] });
  });
});

describe("a name", () => {
  it("that resolves to the inside is refused (A25)", async () => {
    const { asked, resolve } = resolverOf(["127.0.0.1"]);
    const { error, refused } = await ask("mcp.example.com", "", resolve);
    expect(error?.code).toBe("ADDRESS_REFUSED");
    expect(refused[0]?.message).toContain("mcp.example.com: 127.0.0.1 is no public address (loopback)");
    expect(asked).toEqual(["mcp.example.com"]);
    expect(served).toBe(0);
  });

  it("is refused when one of its addresses is (A25)", async () => {
    const { resolve } = resolverOf(["127.0.0.1", "10.0.0.1"]);
    const { error } = await ask("mcp.example.com", "127.0.0.0/8", resolve);
    expect(error?.message).toContain("10.0.0.1");
    expect(served).toBe(0);
  });

  it("is resolved once per connection: the checked address is the one that is connected to (A25)", async () => {
    const { asked, resolve } = resolverOf(["127.0.0.1"], ["10.0.0.1"]);
    expect(await ask("mcp.example.com", "127.0.0.0/8", resolve)).toMatchObject({ text: "inside" });
    expect(asked).toHaveLength(1);
  });
});
