import { once } from "node:events";
import { copyFile, rename, symlink, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect, type ConnectionOptions } from "node:tls";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { answerEcho, until, type Issued } from "@sluice/testing";
import { Agent as UndiciAgent, fetch as undiciFetch } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runService } from "./service-run.ts";
import { agentNamed, gateway, startTlsHouse, type TlsHouse } from "./tls-house.ts";

const dayMs = 86_400_000;
let tls: TlsHouse;
let client: Issued;

beforeAll(async () => {
  tls = await startTlsHouse();
  client = await tls.authorities.acme.issue(agentNamed("a-1"));
});
afterAll(() => tls?.[Symbol.asyncDispose]());
beforeEach(() => void tls.upstream.requests.splice(0));

const file = (name: string) => join(tls.dir, name);
const reach = (options: ConnectionOptions = {}) =>
  connect({ port: tls.port, host: "127.0.0.1", ...tls.own(), ...options });
const serials = async (options: ConnectionOptions = {}) => {
  const socket = reach(options);
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
};

describe("TLS at ingress", () => {
  it("serves the official client, by API key and by client certificate", async () => {
    for (const [headers, shown] of [
      [tls.key, undefined],
      [{}, client],
    ] as const) {
      const dispatcher = new UndiciAgent({ connect: tls.own(shown) });
      const overTls = (url: string | URL, init?: RequestInit) =>
        undiciFetch(url, { ...(init as object), dispatcher }) as unknown as Promise<Response>;
      const mcp = new Client({ name: "tls-test", version: "1" }, { versionNegotiation: { mode: "auto" } });
      await mcp.connect(
        new StreamableHTTPClientTransport(new URL(tls.address("/mcp/official")), {
          requestInit: { headers },
          fetch: overTls,
        }),
      );
      expect((await mcp.listTools()).tools.map(({ name }) => name)).toEqual(["shout"]);
      expect(await mcp.callTool({ name: "shout", arguments: { text: "hi" } })).toMatchObject({
        content: [{ text: "HI" }],
      });
      await mcp.close();
      await dispatcher.close();
    }
    const rows = () =>
      tls.house.query<{ auth: string; agent_id: string }>(
        "select distinct auth, agent_id from audit_calls where target = 'shout'",
      );
    await until("both are in the audit trail", async () => (await rows()).length === 2);
    expect(await rows()).toEqual(
      expect.arrayContaining([
        { auth: "mtls", agent_id: "a-1" },
        { auth: "apiKey", agent_id: "k-1" },
      ]),
    );
  });

  it("refuses old protocol versions and renegotiation, and resumes no session where clients show certificates", async () => {
    await expect(
      serials({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }),
    ).rejects.toThrow(/alert protocol version/);
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const options = {
        port: tls.port,
        host: "127.0.0.1",
        ...tls.own(client),
        minVersion: version,
        maxVersion: version,
      };
      const first = connect(options);
      const session = once(first, "session").then(([given]) => given as Buffer);
      await once(first, "secureConnect");
      const kept = version === "TLSv1.3" ? await Promise.race([session, once(first, "close")]) : first.getSession();
      if (version === "TLSv1.2") {
        const ended = once(first, "error");
        first.renegotiate({}, () => {});
        expect(String(await ended)).toContain("no renegotiation");
      }
      first.destroy();
      const second = connect({ ...options, ...(Buffer.isBuffer(kept) && { session: kept }) });
      await once(second, "secureConnect");
      expect(second.isSessionReused(), version).toBe(false);
      second.destroy();
    }
  });

  it("A16: meets ambiguous framing as without TLS: 400, and the connection closes", async () => {
    const lines = [
      "POST /mcp HTTP/1.1",
      "Host: 127.0.0.1",
      ...Object.entries(tls.key).map((field) => field.join(": ")),
    ];
    for (const framing of [
      ["Content-Length: 3", "Transfer-Encoding: chunked"],
      ["Content-Length: 3", "Content-Length: 4"],
    ]) {
      const socket = connect({ port: tls.port, host: "127.0.0.1", ca: tls.authorities.servers.cert });
      socket.write(`${[...lines, ...framing].join("\r\n")}\r\n\r\n0\r\n\r\n`);
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(tls.upstream.requests).toEqual([]);
  });

  it("A29: closes what does not finish its handshake or its head in time, and what speaks no TLS", async () => {
    const silent = connectTcp(tls.port, "127.0.0.1");
    const slow = connect({ port: tls.port, host: "127.0.0.1", ca: tls.authorities.servers.cert });
    slow.write("POST /mcp HTTP/1.1\r\n");
    const plain = connectTcp(tls.port, "127.0.0.1");
    plain.end("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    for (const socket of [silent, slow, plain]) socket.on("error", () => {}).resume();
    await Promise.all([once(silent, "close"), once(slow, "close"), once(plain, "close")]);
    expect(await tls.metrics("ingress")).toMatch(/sluice_tls_handshake_failures_total\{[^}]*\} [1-9]/);
  });
});

describe("a certificate that is renewed", () => {
  it("is shown to new connections, and drops no stream; one that can't be used changes nothing and says so", async () => {
    const pushed: (() => void)[] = [];
    tls.upstream.handler = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": open\n\n");
      pushed.push(
        () =>
          void response.write(
            'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"later"}}\n\n',
          ),
      );
    };
    const open = await tls.stream(undefined, tls.key);
    let received = "";
    open.setEncoding("utf8").on("data", (chunk: string) => (received += chunk));
    const before = await serials();

    await copyFile((await tls.authorities.servers.issueFiles(tls.dir, "other", gateway)).certFile, file("server.pem"));
    await until("the mismatch is told", async () =>
      (await tls.house.logs()).includes("does not belong to the first certificate"),
    );
    expect(await serials()).toBe(before);
    expect(await tls.metrics("ingress")).toMatch(/sluice_tls_reload_failures_total\{[^}]*use="server"[^}]*\} 1/);

    await copyFile(file("other-key.pem"), file("server-key.pem"));
    await until("the new pair is shown", async () => (await serials()) !== before);
    expect(open.readableEnded).toBe(false);
    await until("the stream is open at the upstream", () => pushed.length > 0);
    for (const push of pushed) push();
    await until("the stream lives", () => received.includes("later"));
    open.destroy();

    const renewed = await serials();
    const notAfter = new Date(Date.now() + 30 * dayMs);
    await tls.authorities.servers.issueFiles(tls.dir, "third", { ...gateway, notAfter });
    // As Kubernetes swaps what a mounted secret points to.
    for (const name of ["server", "server-key"]) {
      await symlink(file(`${name.replace("server", "third")}.pem`), file("next"));
      await rename(file("next"), file(`${name}.pem`));
    }
    await until("the swapped pair is shown", async () => (await serials()) !== renewed);
    const expiry = /sluice_tls_certificate_expiry_timestamp_seconds\{[^}]*use="server"[^}]*\} (\d+)/.exec(
      await tls.metrics("ingress"),
    );
    expect(Number(expiry?.[1])).toBe(Math.floor(notAfter.getTime() / 1000));
    tls.upstream.handler = answerEcho;
  });
});

describe("a service whose TLS files can't be used", () => {
  it("ends with exit code 2 and says which file and why", async () => {
    const expired = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
    await Promise.all([
      tls.authorities.servers.issueFiles(tls.dir, "expired", { ...gateway, ...expired }),
      tls.authorities.servers.issueFiles(tls.dir, "good", gateway),
      tls.authorities.servers.issueFiles(tls.dir, "early", { ...gateway, notBefore: new Date(Date.now() + dayMs) }),
      writeFile(file("garbage.pem"), "garbage"),
    ]);
    const cases: [Record<string, string>, RegExp][] = [
      [
        { TLS_CERT_FILE: "missing.pem", TLS_KEY_FILE: "good-key.pem" },
        /TLS_CERT_FILE: there is no file \S+missing\.pem/,
      ],
      [{ TLS_CERT_FILE: "good.pem" }, /TLS_CERT_FILE and TLS_KEY_FILE belong together/],
      [
        { TLS_CERT_FILE: "good.pem", TLS_KEY_FILE: "expired-key.pem" },
        /TLS_KEY_FILE: the key in \S+ does not belong to/,
      ],
      [
        { TLS_CERT_FILE: "expired.pem", TLS_KEY_FILE: "expired-key.pem" },
        /TLS_CERT_FILE: the certificate in \S+ expired on 20/,
      ],
      [
        { TLS_CERT_FILE: "early.pem", TLS_KEY_FILE: "early-key.pem" },
        /TLS_CERT_FILE: the certificate in \S+ is not valid before 20/,
      ],
      [
        { TLS_CERT_FILE: "garbage.pem", TLS_KEY_FILE: "good-key.pem" },
        /TLS_CERT_FILE: \S+ can't be used: holds no certificate/,
      ],
      [{ TLS_CERT_FILE: "good.pem", TLS_KEY_FILE: "garbage.pem" }, /TLS_KEY_FILE: \S+ holds no private key/],
      [{ TLS_CLIENT_CA_FILE: "missing.pem" }, /TLS_CLIENT_CA_FILE: there is no file/],
    ];
    for (const [names, reason] of cases) {
      const files = Object.fromEntries(Object.entries(names).map(([name, path]) => [name, file(path)]));
      const { code, output } = await runService({ house: tls.house, service: "ingress", env: { PORT: "0", ...files } });
      expect(output).toMatch(reason);
      expect(code).toBe(2);
    }
  });
});

describe("the admin API over TLS", () => {
  it("answers its operator, and nobody without the token", async () => {
    const url = `https://127.0.0.1:${new URL(tls.house.house.adminUrl).port}/v1/status`;
    const bearer = { authorization: `Bearer ${tls.house.house.adminToken}` };
    expect(await tls.send(url, { method: "GET", headers: bearer })).toMatchObject({ status: 200 });
    expect(await tls.send(url, { method: "GET" })).toMatchObject({ status: 401 });
    expect(await tls.metrics("control")).toMatch(/sluice_tls_certificate_expiry_timestamp_seconds\{[^}]*use="admin"/);
  });
});

describe("an ingress over TLS that is told to stop", () => {
  it("A38: lets the call under way end, and is not held up by connections that carry nothing or still shake hands", async () => {
    const [ingress] = tls.house.house.of("ingress");
    const idle = reach();
    await once(idle, "secureConnect");
    const silent = connectTcp(tls.port, "127.0.0.1");
    await once(silent, "connect");
    for (const socket of [idle, silent]) socket.on("error", () => {}).resume();
    const release = Promise.withResolvers<void>();
    tls.upstream.handler = async (request, response) => {
      await release.promise;
      answerEcho(request, response);
    };
    const call = tls.call(client);
    await until("the call to be at the upstream", () => tls.upstream.requests.length === 1);
    if (ingress !== undefined) ingress.endedOnPurpose = true;
    const stopped = ingress?.process.stop("SIGTERM", 20_000);
    await once(idle, "close");
    release.resolve();
    expect((await call).status).toBe(200);
    expect(await stopped).toEqual({ code: 0, signal: null });
  });
});
