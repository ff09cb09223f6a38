import { Fault } from "@sluice/contracts";
import { answerEcho, FakeUpstream, until } from "@sluice/testing";
import { buildConnector } from "undici";
import { expect, it } from "vitest";
import { Breaker } from "./breaker.ts";
import { Connections } from "./connections.ts";
import { Exchange } from "./exchange.ts";

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
