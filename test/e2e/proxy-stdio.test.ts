import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Client as ModernClient } from "@modelcontextprotocol/client";
import { StdioClientTransport as ModernTransport } from "@modelcontextprotocol/client/stdio";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { answerJson, FakeUpstream, until } from "@sluice/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { startEverything } from "./everything.ts";
import { LegacyServer } from "./legacy-server.ts";
import { startModernServer } from "./modern-server.ts";
import { environment, isSigned, sluice } from "./proxy-run.ts";

const startOf = (upstream: string) => ({
  command: process.execPath,
  args: [sluice, "proxy", "--stdio"],
  env: environment(upstream),
  stderr: "ignore" as const,
});

it("the official client of the legacy era uses the official everything server by standard input and output", async () => {
  await using everything = await startEverything();
  const client = new Client({ name: "stdio-test", version: "1" }, { capabilities: {} });
  onTestFinished(() => client.close());
  await client.connect(new StdioClientTransport(startOf(everything.url)));
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain("echo");
  const steps: number[] = [];
  const params = { name: "trigger-long-running-operation", arguments: { duration: 1, steps: 2 } };
  await client.callTool(params, undefined, { onprogress: ({ progress }) => steps.push(progress) });
  // What comes in one piece with the result this client no longer takes.
  expect(steps[0]).toBe(1);
});

it("the official client of the modern era uses a server of the modern era", async () => {
  await using modern = await startModernServer();
  const client = new ModernClient(
    { name: "stdio-test", version: "1" },
    { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  onTestFinished(() => client.close());
  await client.connect(new ModernTransport(startOf(modern.url)));
  const result = await client.callTool({ name: "shout", arguments: { text: "hello" } });
  expect(result.content).toEqual([{ type: "text", text: "HELLO" }]);
});

it("a session is kept, its server heard, and ended with standard input; every request is signed", async () => {
  await using server = await LegacyServer.start();
  const client = talk(server.url);
  client.say({ jsonrpc: "2.0", id: "a", method: "initialize", params: { protocolVersion: "2025-11-25" } });
  expect(await client.next()).toMatchObject({ id: "a", result: { serverInfo: { name: "legacy" } } });
  client.say({ jsonrpc: "2.0", method: "notifications/initialized" });
  await until("the server's stream", () => server.streams.size === 1);
  server.say({ jsonrpc: "2.0", method: "notifications/tools/list_changed" });
  expect(await client.next()).toEqual({ jsonrpc: "2.0", method: "notifications/tools/list_changed" });
  client.say({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  expect(await client.next()).toMatchObject({ id: 1, result: { tools: [{ name: "echo" }] } });
  client.end();
  expect(await client.exit).toBe(0);
  expect(server.sessions.size).toBe(0);
  expect(server.upstream.requests.every((request) => isSigned(request, "auth-gateway"))).toBe(true);
  expect(server.upstream.requests.at(-1)?.headers["mcp-protocol-version"]).toBe("2025-11-25");
});

it("what is no JSON, what gets no answer, and an upstream that is not there are told as errors; bytes stay what they are", async () => {
  const upstream = await FakeUpstream.start();
  const client = talk(upstream.url);
  client.write("{nonsense\n");
  expect(await client.next()).toMatchObject({ id: null, error: { code: -32700 } });
  upstream.handler = (_request, response) => void response.writeHead(500).end("<html>");
  client.say({ jsonrpc: "2.0", id: 7, method: "tools/list" });
  expect(await client.next()).toMatchObject({ id: 7, error: { code: 1502, data: { status: 500 } } });
  const odd = '{"jsonrpc":"2.0", "id":8,"method":"tools/call","params":{"n":1e400,"u":"\\u0041"}}';
  upstream.handler = ({ body }, response) =>
    void response.end(`{"jsonrpc":"2.0",\n "id":8,\r\n "result":{"n":1e400,"got":${JSON.stringify(body.toString())}}}`);
  client.write(`${odd}\n`);
  expect(await client.nextLine()).toBe(
    `{"jsonrpc":"2.0",  "id":8,  "result":{"n":1e400,"got":${JSON.stringify(odd)}}}`.replaceAll(",  ", ",  "),
  );
  await upstream[Symbol.asyncDispose]();
  client.say({ jsonrpc: "2.0", id: 9, method: "tools/list" });
  expect(await client.next()).toMatchObject({ id: 9, error: { code: 1502 } });
  client.end();
  expect(await client.exit).toBe(0);
});

describe("a request gets exactly one answer, with its id", () => {
  const request = { jsonrpc: "2.0", id: "r", method: "tools/list" };
  const events = (...messages: object[]) => messages.map((data) => `data: ${JSON.stringify(data)}\n\n`).join("");
  const progress = { jsonrpc: "2.0", method: "notifications/progress" };
  const result = { jsonrpc: "2.0", id: "r", result: {} };
  const error = { code: -32_600, message: "no" };
  const failed = { id: "r", error: { code: 1502 } };

  it.each([
    ["JSON that is no message", 401, "application/json", '{"error":"unauthorized"}', [failed]],
    ["a result of another", 200, "application/json", '{"jsonrpc":"2.0","id":"q","result":{}}', [failed]],
    [
      "an error without an id",
      400,
      "application/json",
      JSON.stringify({ jsonrpc: "2.0", error }),
      [{ id: "r", error }],
    ],
    ["nothing", 202, "text/plain", "", [failed]],
    ["a stream that ends too early", 200, "text/event-stream", events(progress), [progress, failed]],
    [
      "a stream with the answer",
      200,
      "text/event-stream",
      `id: 1\ndata:\n\n${events(progress, result)}`,
      [progress, result],
    ],
  ])("where the upstream sends %s", async (_what, status, type, body, said) => {
    await using upstream = await FakeUpstream.start(
      (_request, response) => void response.writeHead(status, { "content-type": type }).end(body),
    );
    const client = talk(upstream.url);
    client.say(request);
    client.end();
    for (const message of said) expect(await client.next()).toMatchObject(message);
    expect(await client.exit).toBe(0);
    expect(await client.nextLine()).toBeUndefined();
  });
});

it("separators that Unicode knows are no line breaks, and bytes that are no text stay what they are", async () => {
  await using upstream = await FakeUpstream.start(({ message }, response) =>
    answerJson(response, { jsonrpc: "2.0", id: message?.id ?? 2, result: {} }),
  );
  const client = talk(upstream.url);
  const line = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\u2028b\u2029c\u0085"}}';
  client.write(`${line}\r\n`);
  expect(await client.next()).toMatchObject({ id: 1 });
  client.write("x".repeat(2_000_000).concat("\n"));
  expect(await client.next()).toMatchObject({ id: null, error: { code: 1413 } });
  expect(upstream.requests.map(({ body }) => body.toString())).toEqual([line]);
}, 30_000);

it("a session that the upstream has ended is opened anew, and the request goes on in it", async () => {
  await using server = await LegacyServer.start();
  const client = talk(server.url);
  client.say({ jsonrpc: "2.0", id: 0, method: "initialize", params: { protocolVersion: "2025-11-25" } });
  expect(await client.next()).toMatchObject({ id: 0 });
  client.say({ jsonrpc: "2.0", method: "notifications/initialized" });
  await until("the server's stream", () => server.streams.size === 1);
  server.forget();
  for (const id of [1, 2]) client.say({ jsonrpc: "2.0", id, method: "tools/list" });
  const answers = [await client.next(), await client.next()];
  expect(
    answers.map(({ id, result }) => [id, result !== undefined]).toSorted(([a], [b]) => Number(a) - Number(b)),
  ).toEqual([
    [1, true],
    [2, true],
  ]);
  expect([server.opened, server.count("notifications/initialized")]).toEqual([2, 2]);
  client.end();
  expect(await client.exit).toBe(0);
  expect(server.sessions.size).toBe(0);
});

it("a notification that the upstream keeps waiting holds up no request, and a stop ends what never ends", async () => {
  await using upstream = await FakeUpstream.start(({ message }, response) => {
    if (message?.method === "tools/list") answerJson(response, { jsonrpc: "2.0", id: message.id, result: {} });
  });
  const client = talk(upstream.url);
  client.say({ jsonrpc: "2.0", method: "notifications/roots/list_changed" });
  client.say({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  expect(await client.next()).toMatchObject({ id: 1, result: {} });
  client.say({ jsonrpc: "2.0", id: 2, method: "initialize" });
  await until("the request at the upstream", () => upstream.requests.some(({ message }) => message?.id === 2));
  client.kill("SIGTERM");
  expect(await client.next()).toMatchObject({ id: 2, error: { code: 1504 } });
  expect(await client.exit).toBe(0);
});

it("a client that reads no more ends it", async () => {
  await using upstream = await FakeUpstream.start(({ message }, response) =>
    answerJson(response, { jsonrpc: "2.0", id: message?.id, result: {} }),
  );
  const client = talk(upstream.url);
  client.stopReading();
  client.say({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  expect(await client.exit).toBe(0);
});

function talk(upstream: string) {
  const { command, args, env } = startOf(upstream);
  Object.assign(env, { MAX_BODY_BYTES: "1000000" });
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "ignore"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  child.stdin.on("error", () => {});
  const reader = createInterface({ input: child.stdout });
  const lines = reader[Symbol.asyncIterator]();
  const nextLine = async () => (await lines.next()).value as string;
  return {
    write: (text: string) => child.stdin.write(text),
    say: (message: object) => child.stdin.write(`${JSON.stringify(message)}\n`),
    end: () => child.stdin.end(),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    stopReading: () => void child.stdout.destroy(),
    nextLine,
    next: async () => JSON.parse(await nextLine()) as Record<string, unknown>,
    exit: new Promise<number | null>((resolve) => child.once("exit", resolve)),
  };
}
