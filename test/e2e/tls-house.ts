import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request, type RequestOptions } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { FakeUpstream, startTestHouse, TestAuthority, type Issued, type TestHouse } from "@sluice/testing";
import { json, toolCall } from "./http.ts";
import { startModernServer, type ModernServer } from "./modern-server.ts";

/** Headers in which proxies pass on certificates; the tenants of a TLS house name them all for their upstream. */
export const proxyHeaders = [
  "x-forwarded-client-cert",
  "client-cert",
  "ssl-client-cert",
  "x-ssl-client-verify",
  "x-client-cert",
];

/** What ingress' certificate says. */
export const gateway = {
  commonName: "gateway.test",
  sans: [
    { type: "ip", value: "127.0.0.1" },
    { type: "dns", value: "gateway.test" },
  ],
  usage: "server",
} as const;

export const agentNamed = (id: string) =>
  ({ sans: [{ type: "url", value: `spiffe://example/agent/${id}` }], usage: "client" }) as const;

interface Sending extends RequestOptions {
  readonly body?: string;
  readonly client?: Issued;
}

export interface TlsHouse extends AsyncDisposable {
  readonly house: TestHouse;
  readonly dir: string;
  readonly upstream: FakeUpstream;
  /** Who issued the gateway's certificate, and those whom the two tenants trust with their agents. */
  readonly authorities: Readonly<Record<"servers" | "acme" | "beta", TestAuthority>>;
  readonly port: number;
  /** Of the one agent that has an API key, in the tenant acme. */
  readonly key: { readonly "x-agent-api-key": string };
  address(path?: string): string;
  /** What a client connects with. */
  own(client?: Issued): { ca: string; cert?: string; key?: string };
  send(url: string, sending?: Sending): Promise<{ status: number | undefined; text: string }>;
  call(client?: Issued, headers?: Record<string, string>): Promise<{ status: number | undefined; text: string }>;
  /** Opens a stream of the server's own messages. */
  stream(client: Issued | undefined, headers?: Record<string, string>): Promise<IncomingMessage>;
  metrics(service: "ingress" | "control"): Promise<string>;
  /** The tenants, where acme lets in these agents by certificate; `*`: all that its authority names. */
  admit(agents: readonly string[]): Promise<void>;
}

/** A house whose ingress and admin API speak TLS, with two tenants that take client certificates. */
export async function startTlsHouse(): Promise<TlsHouse> {
  const stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "sluice-tls-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const upstream = stack.use(await FakeUpstream.start());
  const official = stack.use(await startModernServer());
  const file = (name: string) => join(dir, name);
  const authorities = {
    servers: await TestAuthority.create("Servers"),
    acme: await TestAuthority.create("Acme CA"),
    beta: await TestAuthority.create("Beta CA"),
  };
  const { servers, acme, beta } = authorities;
  await Promise.all([
    writeFile(file("acme.pem"), acme.cert),
    writeFile(file("beta.pem"), beta.cert),
    servers.issueFiles(dir, "server", gateway),
    servers.issueFiles(dir, "admin", gateway),
  ]);
  const tenants = tenantsOf({ upstream, official, file });
  const house = stack.use(await startTestHouse({ tenants: tenants(["*"]), envOf: environment(file) }));
  const port = Number(new URL(house.house.url).port);
  const address = (path = "/mcp/main") => `https://127.0.0.1:${port}${path}`;
  const own = (client?: Issued) => ({ ca: servers.cert, ...(client && { cert: client.cert, key: client.key }) });
  const ask = asking(own);
  return {
    house,
    dir,
    upstream,
    authorities,
    port,
    key: { "x-agent-api-key": house.key("k-1") },
    address,
    own,
    send: async (url, sending) => {
      const answer = await ask(url, sending);
      return { status: answer.statusCode, text: await text(answer) };
    },
    call: async (client, headers = {}) => {
      const answer = await ask(address(), { body: toolCall("read_file"), headers, ...(client && { client }) });
      return { status: answer.statusCode, text: await text(answer) };
    },
    stream: async (client, headers = {}) => {
      const fields = { ...headers, accept: "text/event-stream", "mcp-protocol-version": "2025-06-18" };
      const answer = await ask(address(), { method: "GET", headers: fields, ...(client && { client }) });
      if (answer.statusCode !== 200) throw new Error(`no stream: ${answer.statusCode}`);
      return answer.on("error", () => {}).resume();
    },
    metrics: async (service) => (await fetch(`${house.house.of(service)[0]?.health}/metrics`)).text(),
    admit: (agents) => house.configure(tenants(agents)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function asking(own: TlsHouse["own"]) {
  return async (url: string, { body, client, headers, ...options }: Sending = {}): Promise<IncomingMessage> => {
    const fields = {
      ...json,
      ...(headers as Record<string, string>),
      ...(body && { "content-length": Buffer.byteLength(body) }),
    };
    const asked = request(url, { method: "POST", agent: false, ...own(client), ...options, headers: fields });
    asked.end(body);
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    return answer;
  };
}

function environment(file: (name: string) => string) {
  return {
    ingress: {
      TLS_CERT_FILE: file("server.pem"),
      TLS_KEY_FILE: file("server-key.pem"),
      PUBLIC_URL: "https://gateway.test",
      HEADERS_TIMEOUT_MS: "1000",
    },
    control: { ADMIN_TLS_CERT_FILE: file("admin.pem"), ADMIN_TLS_KEY_FILE: file("admin-key.pem") },
  };
}

interface Surroundings {
  readonly upstream: FakeUpstream;
  readonly official: ModernServer;
  readonly file: (name: string) => string;
}

function tenantsOf({ upstream, official, file }: Surroundings) {
  const main = { name: "main", url: upstream.url, listCacheSeconds: 0, forwardHeaders: proxyHeaders };
  const entries = (names: readonly string[]) =>
    names.map((name) => ({ uri: `spiffe://example/agent/${name}`, ...(name !== "*" && { agentId: name }) }));
  const tenant = (ca: string, names: readonly string[]) => ({
    authentication: [{ type: "apiKey" }, { type: "mtls", ca: `\${file:${file(ca)}}`, agents: entries(names) }],
    mcp: { endpoints: [main, { name: "official", url: official.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["read_file", "shout", "landmark-*"] }],
  });
  return (acmeAgents: readonly string[]) => ({
    acme: { agents: ["k-1"], ...tenant("acme.pem", acmeAgents) },
    beta: { agents: [], ...tenant("beta.pem", ["*"]) },
  });
}
