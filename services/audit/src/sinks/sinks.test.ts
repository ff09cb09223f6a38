import { createHmac, hash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createSocket } from "node:dgram";
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { destinationSchema } from "@sluice/contracts";
import { freePort, spawnService } from "@sluice/launcher";
import { SecretProblem } from "@sluice/secrets";
import { TestAuthority } from "@sluice/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Receiver, type Received } from "../dispatch/receiver.ts";
import { writtenOf } from "../dispatch/written.ts";
import { call, records, settings } from "../formats/hostile-records.ts";
import { formats } from "../formats/index.ts";
import { openSink } from "./index.ts";
import type { Batch, SinkContext } from "./sink.ts";

const never = new AbortController().signal;
const secret = "canary-0123456789abcdef";

let scope: AsyncDisposableStack;
let dir: string;
let secrets: Record<string, string>;
let lookedAgain: string[];

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  dir = await mkdtemp(join(tmpdir(), "sluice-sinks-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  secrets = { "${env:TOKEN}": secret };
  lookedAgain = [];
});
afterEach(() => scope.disposeAsync());

function sinkOf(destination: Record<string, unknown>, more: Partial<SinkContext> = {}) {
  const format = formats[(destination["format"] ?? "structured-json") as keyof typeof formats](settings);
  const sink = openSink(destinationSchema.parse(destination), {
    secrets: {
      value: (reference) => {
        const value = secrets[reference];
        if (value === undefined) throw new SecretProblem(reference, "there is no such file");
        return value;
      },
      again: (reference) => void lookedAgain.push(reference),
    },
    ...{ format, log: "acme", fileDir: dir, ca: undefined, ...more },
  });
  return { send: (batch: Batch) => sink.send(batch, never), batch: batchOf(format, records) };
}

function batchOf(format: Parameters<typeof writtenOf>[1], some: typeof records): Batch {
  return { log: "acme", records: some.map((each) => writtenOf(each, format)) as unknown as Batch["records"] };
}

async function receive(): Promise<Receiver> {
  const receiver = await new Receiver().start();
  scope.defer(() => receiver.stop());
  return receiver;
}

describe("http", () => {
  test("P19: headers hold what their references stand for at that moment; neither errors nor anything else says it", async () => {
    const receiver = await receive();
    const headers = { "X-Api-Key": "${env:TOKEN}" };
    const { send, batch } = sinkOf({ type: "http", url: receiver.url, headers });
    await send(batch);
    secrets["${env:TOKEN}"] = "rotated-0123456789abcdef";
    await send(batch);
    expect(receiver.taken.map((each) => each.headers["x-api-key"])).toEqual([secret, "rotated-0123456789abcdef"]);
    expect(receiver.taken[0]?.headers["content-type"]).toBe("application/json");
    expect(receiver.ids.slice(0, records.length)).toEqual(records.map(({ id }) => id));
    receiver.answer = () => ({ status: 401 });
    await expect(send(batch)).rejects.toMatchObject({ name: "Away", message: "HTTP 401" });
    expect(lookedAgain).toEqual(["${env:TOKEN}"]);
    secrets["${env:TOKEN}"] = `${secret}\r\nX-Other: 1`;
    const error = await send(batch).catch((problem: Error) => problem);
    expect(error).toMatchObject({ name: "Away" });
    expect(`${String(error)} ${(error as Error).stack}`).not.toContain(secret);
    delete secrets["${env:TOKEN}"];
    await expect(send(batch)).rejects.toThrow("${env:TOKEN}: there is no such file");
  });

  test("lines go as text; an answer of 200 MB, one that never comes and a certificate of nobody known do no harm", async () => {
    const receiver = await receive();
    const cef = sinkOf({ type: "http", url: receiver.url, format: "cef" });
    await cef.send(cef.batch);
    expect(receiver.taken[0]?.headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(receiver.taken[0]?.body.trimEnd().split("\n")).toHaveLength(records.length);
    receiver.answer = () => new Promise(() => {});
    const slow = sinkOf({ type: "http", url: receiver.url, timeoutMs: 100 });
    await expect(slow.send(slow.batch)).rejects.toMatchObject({ name: "Away" });
    const { server } = await tlsServer();
    const tls = sinkOf({ type: "http", url: `https://127.0.0.1:${portOf(server)}/` });
    await expect(tls.send(tls.batch)).rejects.toMatchObject({ name: "Away" });
  });
});

describe("splunk-hec", () => {
  test("each record is an event of the collector, with the token of its reference", async () => {
    const receiver = await receive();
    const url = new URL(receiver.url).origin;
    const { send, batch } = sinkOf({ type: "splunk-hec", url, token: "${env:TOKEN}", index: "audit" });
    await send(batch);
    const [{ path, headers, body } = { path: "", headers: {}, body: "" }] = receiver.taken;
    expect([path, headers.authorization]).toEqual(["/services/collector/event", `Splunk ${secret}`]);
    const events = body.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event }) => (event as { id: string }).id)).toEqual(records.map(({ id }) => id));
    expect(events[0]).toMatchObject({
      ...{
        time: Date.parse(call.timestamp) / 1_000,
        source: "sluice:acme",
        sourcetype: "sluice:audit",
        index: "audit",
      },
    });
  });
});

describe("s3", () => {
  test("a batch is one object, signed; sent again it is the same one", async () => {
    const port = await freePort();
    const main = createRequire(import.meta.url).resolve("s3rver/bin/s3rver.js");
    const listening = Promise.withResolvers<void>();
    const server = await spawnService({
      name: "s3rver",
      command: process.execPath,
      args: [main, "--directory", dir, "--port", String(port), "--configure-bucket", "audit-log"],
      env: { PATH: process.env["PATH"] ?? "" },
      onLine: (line) => line.includes("listening") && listening.resolve(),
    });
    scope.defer(async () => void (await server.stop()));
    await listening.promise;
    secrets = { "${env:ID}": "S3RVER", "${env:KEY}": "S3RVER" };
    const keys = { accessKeyId: "${env:ID}", secretAccessKey: "${env:KEY}" };
    const { send, batch } = sinkOf({
      ...{ type: "s3", endpoint: `http://127.0.0.1:${port}`, bucket: "audit-log", prefix: "trail/a_b-c/", ...keys },
    });
    await send(batch);
    await send(batch);
    const stored = (await readdir(join(dir, "audit-log"), { recursive: true })).filter((name) =>
      name.endsWith("_object"),
    );
    expect(stored).toEqual(["trail/a_b-c/acme/2026/11/21/000000000007-000000000015.jsonl._S3rver_object"]);
    const lines = (await readFile(join(dir, "audit-log", stored[0] ?? ""), "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(records.map(({ id }) => id));
  });

  test("the signature is the one of AWS Signature Version 4, of secrets as they are; without them nothing is sent", async () => {
    const receiver = await receive();
    secrets = { "${env:ID}": "AKIDEXAMPLE", "${env:KEY}": secret };
    receiver.answer = (received) => ({ status: isSigned(received, secrets["${env:KEY}"] ?? "") ? 200 : 403 });
    const keys = { accessKeyId: "${env:ID}", secretAccessKey: "${env:KEY}" };
    const endpoint = new URL(receiver.url).origin;
    const { send, batch } = sinkOf({ type: "s3", endpoint, bucket: "audit-log", region: "eu-central-1", ...keys });
    await send(batch);
    secrets["${env:KEY}"] = "rotated-0123456789";
    await send(batch);
    expect(receiver.taken).toHaveLength(2);
    receiver.answer = () => ({ status: 403 });
    await expect(send(batch)).rejects.toMatchObject({ name: "Away", message: "HTTP 403" });
    expect(lookedAgain).toEqual(["${env:ID}", "${env:KEY}"]);
    delete secrets["${env:KEY}"];
    await expect(send(batch)).rejects.toThrow("${env:KEY}: there is no such file");
  });
});

/** By the description of AWS Signature Version 4, without the library that signed. */
function isSigned({ method, path, headers, body }: Received, secretKey: string): boolean {
  const [, scope = "", signedHeaders = "", signature] =
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? "",
    ) ?? [];
  const [day = "", region = "", service = "", end = ""] = scope.split("/");
  const digest = hash("sha256", body);
  const canonical = [
    ...[method, path, "", ...signedHeaders.split(";").map((name) => `${name}:${String(headers[name]).trim()}`)],
    ...["", signedHeaders, digest],
  ].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hash("sha256", canonical)].join("\n");
  const key = [day, region, service, end, toSign].reduce<Buffer>(
    (previous, part) => createHmac("sha256", previous).update(part).digest(),
    Buffer.from(`AWS4${secretKey}`),
  );
  const isWhole = ["host", "x-amz-content-sha256", "x-amz-date"].every((name) =>
    signedHeaders.split(";").includes(name),
  );
  return isWhole && headers["x-amz-content-sha256"] === digest && key.toString("hex") === signature;
}

interface Heard {
  readonly server: Server;
  /** Whole messages, as octet counting frames them. */
  readonly messages: string[];
}

function heedConnection(socket: Socket, messages: string[]): void {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {});
  socket.on("end", () => {
    for (let rest = Buffer.concat(chunks); rest.length > 0;) {
      const space = rest.indexOf(" ");
      const end = space + 1 + Number(rest.toString("latin1", 0, space));
      messages.push(rest.toString("utf8", space + 1, end));
      rest = rest.subarray(end);
    }
  });
}

async function tlsServer(): Promise<Heard & { ca: string }> {
  const authority = await TestAuthority.create("Operator CA");
  const { cert, chain, key } = await authority.issue({ sans: [{ type: "ip", value: "127.0.0.1" }] });
  const messages: string[] = [];
  const server = createTlsServer({ cert: `${cert}\n${chain}`, key }, (socket) => heedConnection(socket, messages));
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scope.defer(() => void server.close());
  return { server, messages, ca: authority.cert };
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

describe("syslog", () => {
  const form = /^<(\d+)>1 (\S+) (\S+) sluice - (\w+) - ([^]*)$/;

  test("over TLS each record is a message of RFC 5424 with its length before it; no other authority's certificate will do", async () => {
    const { server, messages, ca } = await tlsServer();
    const destination = { type: "syslog", host: "127.0.0.1", port: portOf(server), format: "cef" };
    const { send, batch } = sinkOf(destination, { ca });
    await send(batch);
    expect(messages).toHaveLength(records.length);
    for (const [index, message] of messages.entries()) {
      const [, priority, time, , type, text] = form.exec(message) ?? [];
      expect([type, text]).toEqual([batch.records[index]?.type, batch.records[index]?.text]);
      expect([13 * 8 + 4, 13 * 8 + 6]).toContain(Number(priority));
      expect(time).toBe(records[index]?.timestamp);
    }
    await expect(sinkOf(destination).send(batch)).rejects.toMatchObject({ name: "Away" });
    expect(messages).toHaveLength(records.length);
  });

  test("over TCP a batch that the receiver breaks off is not taken", async () => {
    const messages: string[] = [];
    let isWell = false;
    const server = createTcpServer((socket) => {
      if (isWell) heedConnection(socket, messages);
      else socket.once("data", () => socket.resetAndDestroy());
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    scope.defer(() => void server.close());
    const { send, batch } = sinkOf({ type: "syslog", transport: "tcp", host: "127.0.0.1", port: portOf(server) });
    await expect(send(batch)).rejects.toMatchObject({ name: "Away" });
    isWell = true;
    await send(batch);
    expect(messages).toHaveLength(records.length);
  });

  test("over UDP each is a datagram; one that fits into none is refused", async () => {
    const socket = createSocket("udp4");
    const messages: string[] = [];
    const all = Promise.withResolvers<void>();
    socket.on("message", (data) => {
      messages.push(data.toString());
      if (messages.length === records.length) all.resolve();
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    scope.defer(() => void socket.close());
    const { port } = socket.address();
    const { send, batch } = sinkOf({ type: "syslog", transport: "udp", host: "127.0.0.1", port });
    await send(batch);
    await all.promise;
    expect(messages.every((message) => form.test(message))).toBe(true);
    const huge = batchOf(formats.cef(settings), [{ ...call, target: "x".repeat(70_000) }]);
    await expect(send(huge)).rejects.toMatchObject({ name: "Refusal" });
  });
});
