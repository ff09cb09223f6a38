import { Fault } from "@sluice/contracts";
import { AddressRefused } from "@sluice/net";
import { answerEcho, FakeUpstream, until } from "@sluice/testing";
import { buildConnector } from "undici";
import { expect, it } from "vitest";
import { Breaker } from "./breaker.ts";
import { Connections } from "./connections.ts";
import { Exchange, type UpstreamRequest } from "./exchange.ts";

const breaker = new Breaker({ failures: 0, openMs: 1_000, refusal: "not now", onChange: () => {} });
const common = { connector: buildConnector({}), breaker, connections: 1, full: "no room" };
const left = new Fault("client_left", "the client left");

it("bounds the requests that wait for a connection, those given up meanwhile included", async () => {
  await using upstream = await FakeUpstream.start(() => {});
  const origin = `http://127.0.0.1:${upstream.port}`;
  const connections = new Connections({ ...common, origin, waiting: 1 });
  const send = () => new Exchange(connections, { path: "/", method: "POST", headers: {}, body: Buffer.from("{}") });
  const first = send();
  await until("the first at the upstream", () => upstream.requests.length === 1);
  const second = send();
  expect(send).toThrow("no room");
  second.abort(left);
  await expect(second.head).rejects.toBe(left);
  expect(send).toThrow("no room");

  upstream.handler = answerEcho;
  first.abort(left);
  await until("room again", () => {
    try {
      connections.requireRoom();
      return true;
    } catch {
      return false;
    }
  });
  for (let round = 0; round < 3; round++) {
    const exchange = await until("room for one more", () => {
      try {
        return send();
      } catch {
        return undefined;
      }
    });
    expect((await exchange.head).status).toBe(202);
    await exchange.collect(1_000);
  }
  expect(upstream.requests.length).toBe(4);
  await connections.close();
});

it("gives room back after a request that found no upstream", async () => {
  const upstream = await FakeUpstream.start();
  const origin = `http://127.0.0.1:${upstream.port}`;
  await upstream[Symbol.asyncDispose]();
  const connections = new Connections({ ...common, origin, waiting: 0 });
  for (let round = 0; round < 3; round++) {
    const exchange = new Exchange(connections, { path: "/", method: "GET", headers: {}, body: null });
    await expect(exchange.head).rejects.toThrow("could not be reached");
  }
  await connections.destroy();
});

it("tells the breaker of what the upstream did, and of nothing that was the client's or the gateway's doing", async () => {
  await using upstream = await FakeUpstream.start(() => {});
  const origin = `http://127.0.0.1:${upstream.port}`;
  const changes: boolean[] = [];
  const watched = new Breaker({
    failures: 1,
    openMs: 60_000,
    refusal: "not now",
    onChange: (open) => changes.push(open),
  });
  const refuse = buildConnector({
    lookup: (_host, _options, callback) => callback(new AddressRefused("inside.example.com", refusal), []),
  });
  const refusal = { address: "10.0.0.1", range: "private", reason: "no" };
  const connectionsTo = (to: string, connector = buildConnector({})) =>
    new Connections({ ...common, origin: to, connector, breaker: watched, isPatient: true, waiting: 5 });
  const [connections, forbidden] = [connectionsTo(origin), connectionsTo("http://inside.example.com", refuse)];
  const send = (request: Partial<UpstreamRequest>, over = connections) =>
    new Exchange(over, { path: "/", method: "POST", headers: {}, body: Buffer.from("{}"), ...request });
  const late = new Fault("upstream_timeout", "late");
  const atUpstream = async (exchange: Exchange) => {
    const before = upstream.requests.length;
    await until("the request at the upstream", () => upstream.requests.length > before);
    return exchange;
  };

  await expect(send({}, forbidden).head).rejects.toThrow("none that the gateway may connect to");
  await expect(send({ headers: { "x-bad": "a\nb" } }).head).rejects.toThrow("could not be reached");
  await expect(send({ body: breaking(), headers: { "content-length": "9" } }).head).rejects.toBe(left);
  (await atUpstream(send({}))).abort(left);
  (await atUpstream(send({ method: "GET", body: null }))).abort(late);
  expect(changes).toEqual([]);
  (await atUpstream(send({}))).abort(late);
  await until("the breaker is open", () => watched.open);
  expect(() => send({})).toThrow("not now");
  await Promise.all([connections.destroy(), forbidden.destroy()]);
});

async function* breaking(): AsyncGenerator<Buffer> {
  yield Buffer.from("{");
  throw left;
}

it("stays usable after requests that cannot be sent", async () => {
  await using upstream = await FakeUpstream.start();
  const connections = new Connections({ ...common, origin: `http://127.0.0.1:${upstream.port}`, waiting: 0 });
  const send = (headers: Record<string, string>) =>
    new Exchange(connections, { path: "/", method: "POST", headers, body: Buffer.from("{}") });
  for (let round = 0; round < 3; round++) {
    await expect(send({ "x-bad": "a\nb" }).head).rejects.toThrow("could not be reached");
    const exchange = send({});
    expect((await exchange.head).status).toBe(202);
    await exchange.collect(1_000);
  }
  await connections.destroy();
});

it("waits for the answer behind informational ones (RFC 9110 §15.2)", async () => {
  await using upstream = await FakeUpstream.start((_request, response) => {
    response.writeProcessing();
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.writeHead(201).end("made");
  });
  const connections = new Connections({ ...common, origin: `http://127.0.0.1:${upstream.port}`, waiting: 0 });
  const exchange = new Exchange(connections, { path: "/", method: "POST", headers: {}, body: Buffer.from("{}") });
  expect((await exchange.head).status).toBe(201);
  expect((await exchange.collect(1_000)).bytes.toString()).toBe("made");
  await connections.destroy();
});
