import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAddressGuard, upstreamNetworks } from "@sluice/net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Webhooks, type WebhooksOptions } from "./push-webhooks.ts";

const guard = createAddressGuard(upstreamNetworks.parse("127.0.0.0/8"));
const body = Buffer.from('{"task":{}}');
let server: Server;
let port: number;
let listener: RequestListener;
let reached: string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    const { host, authorization, "x-a2a-notification-token": token } = request.headers;
    reached.push([host, authorization, token].join(" "));
    listener(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  reached = [];
  listener = (_request, response) => void response.writeHead(204, { connection: "close" }).end();
});

/** Answers each question about a name with the next of these. */
function resolving(...answers: readonly (readonly string[])[]): NonNullable<WebhooksOptions["resolve"]> {
  let at = 0;
  const resolve = (_host: string, _options: object, callback: (...answer: unknown[]) => void) => {
    const addresses = answers[Math.min(at++, answers.length - 1)] ?? [];
    queueMicrotask(() =>
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
      ),
    );
  };
  return resolve as unknown as NonNullable<WebhooksOptions["resolve"]>;
}

const open = (more: Partial<WebhooksOptions> = {}) =>
  new Webhooks({ guard, timeoutMs: 300, connectionsPerHost: 2, ...more });
const url = (host = "127.0.0.1") => `http://${host}:${port}/hook?x=1`;
const notice = { body, contentType: "application/json" };

describe("a webhook", () => {
  it("is told its own token and credentials, exactly as they were given", async () => {
    await using webhooks = open();
    const authentication = { scheme: "bAsIc", credentials: "a b==  c" };
    const told = await webhooks.post({ url: url(), token: "t 1", authentication }, notice);
    expect(told).toEqual({ is: "delivered", why: "http_204", status: 204 });
    expect(reached).toEqual([`127.0.0.1:${port} bAsIc a b==  c t 1`]);
  });

  it("A25: whose name leads inside when it is connected to is not reached, whatever it led to before", async () => {
    const inside = { is: "refused", why: "forbidden_address" };
    await using webhooks = open({
      resolve: resolving(["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "10.0.0.1"], ["fd00::1"]),
    });
    expect(await webhooks.post({ url: url("hooks.example") }, notice)).toMatchObject({ is: "delivered" });
    for (let count = 0; count < 3; count++)
      expect(await webhooks.post({ url: url("hooks.example") }, notice)).toEqual(inside);
    expect(reached.length).toBe(1);
    for (const host of ["169.254.169.254", "[::ffff:10.0.0.1]", "0x0a.0.0.1", "[fd00::]"])
      expect(await webhooks.post({ url: url(host) }, notice), host).toEqual(inside);
  });

  it("A26: that redirects is not followed, and its secrets go nowhere else", async () => {
    listener = (_request, response) => void response.writeHead(302, { location: url("127.0.0.2") }).end();
    await using webhooks = open();
    const told = await webhooks.post({ url: url(), token: "t" }, notice);
    expect(told).toEqual({ is: "refused", why: "redirect", status: 302 });
    expect(reached.length).toBe(1);
  });

  it("says by its status whether to try again, and when", async () => {
    await using webhooks = open();
    const answered = async (status: number, headers = {}) => {
      listener = (_request, response) => void response.writeHead(status, headers).end("x".repeat(200_000));
      return await webhooks.post({ url: url() }, notice);
    };
    for (const status of [400, 401, 404, 410, 422])
      expect(await answered(status)).toMatchObject({ is: "refused", status });
    for (const status of [408, 425, 429, 500, 503])
      expect(await answered(status)).toMatchObject({ is: "failed", status });
    expect(await answered(429, { "retry-after": "7" })).toMatchObject({ retryAfterMs: 7_000 });
  });

  it("A40: that says nothing, or says it for ever, is given up in time", async () => {
    await using webhooks = open();
    listener = () => {};
    expect(await webhooks.post({ url: url() }, notice)).toEqual({ is: "failed", why: "timeout" });
    listener = (_request, response) => {
      response.writeHead(500);
      const dripping = setInterval(() => response.write("x"), 10);
      response.once("close", () => clearInterval(dripping));
    };
    const startedAt = performance.now();
    expect((await webhooks.post({ url: url() }, notice)).is).toBe("failed");
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it("that is not there is tried again", async () => {
    await using webhooks = open();
    expect(await webhooks.post({ url: "http://127.0.0.1:1/" }, notice)).toEqual({ is: "failed", why: "unreachable" });
  });
});
