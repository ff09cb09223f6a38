import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import type { IngressSection, Mtls } from "@sluice/contracts";
import { referencesIn, Secrets } from "@sluice/secrets";
import type { Log } from "@sluice/telemetry";
import { TestAuthority, until, type Issued } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ClientAuthorities } from "../client-authorities.ts";
import type { Principal } from "../tenants.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { mtls } from "./mtls.ts";

const stack = new AsyncDisposableStack();
const authorities = new ClientAuthorities();
const said: unknown[] = [];
let acme: TestAuthority;
let beta: TestAuthority;
let dir: string;
let further: string;
let secrets: Secrets;
let server: Server;
let changes = 0;
let method: AuthMethod;

const agents: Mtls["agents"] = [
  { uri: "spiffe://example/agent/*" },
  { commonName: "ops", agentId: "ops-1", name: "Ops", owner: "ops@example.com" },
];
const trusting = (ca: TestAuthority | string, more: Partial<Mtls> = {}): Mtls => ({
  type: "mtls",
  ca: typeof ca === "string" ? ca : ca.cert,
  agents,
  ...more,
});
const configure = async (tenants: Record<string, Mtls[]>) => {
  await secrets.use("authentication", referencesIn(tenants));
  method.configure(
    new Map(
      Object.entries(tenants).map(([name, certificates]) => [
        name,
        { version: 1, keyHeaders: ["x-agent-api-key"], keys: {}, certificates } as unknown as IngressSection,
      ]),
    ),
  );
};
const file = (name: string) => join(dir, name);

beforeAll(async () => {
  [acme, beta] = await Promise.all([TestAuthority.create("Acme CA"), TestAuthority.create("Beta CA")]);
  dir = await mkdtemp(join(tmpdir(), "sluice-mtls-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const { cert, key } = await acme.issue({ commonName: "gateway" });
  const options = () => ({ cert, key, ca: [...authorities.pems] });
  server = createServer({ ...options(), requestCert: true, rejectUnauthorized: false });
  authorities.onChange(() => server.setSecureContext(options()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(() => void server.close());
  const say = (...words: unknown[]) => said.push(words);
  const log = { info: () => {}, warn: say, error: say };
  further = file("further.pem");
  await writeFile(further, beta.cert);
  const config = { TLS_CERT_FILE: "cert.pem", TLS_CLIENT_CA_FILE: further };
  secrets = stack.use(new Secrets({ env: {}, log: log as unknown as Log }));
  method = mtls({
    ...{ config, log, scope: stack, authorities },
    changed: () => changes++,
    secrets,
  } as unknown as AuthContext);
  stack.use(secrets.onChange(() => method.secretChanged?.()));
});
afterAll(() => stack.disposeAsync());

/** A request on a new connection, as ingress gets it. */
async function from(client: Partial<Issued>, headers: IncomingMessage["headers"] = {}): Promise<IncomingMessage> {
  const arriving = once(server, "secureConnection") as Promise<[TLSSocket]>;
  const { port } = server.address() as AddressInfo;
  const own = client.cert === undefined ? {} : { cert: `${client.cert}\n${client.chain}`, key: client.key };
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...own });
  stack.defer(() => void socket.destroy());
  const [received] = await arriving;
  for (const side of [socket, received]) side.on("error", () => {});
  return { socket: received, headers } as unknown as IncomingMessage;
}
const principalOf = (request: IncomingMessage) => method.authenticate(request) as Principal | undefined;
const whoIs = async (client: Partial<Issued>, headers?: IncomingMessage["headers"]) => {
  const found = principalOf(await from(client, headers));
  return found && `${found.tenant}/${found.agent.id}`;
};
const named = (...ids: string[]) => ({
  sans: ids.map((id) => ({ type: "url", value: `spiffe://example/agent/${id}` }) as const),
});

describe("a client certificate", () => {
  it("A2: is its agent's in the tenant whose authority vouches for it, and in no other", async () => {
    await configure({ acme: [trusting(acme)], beta: [trusting(beta)] });
    expect(await whoIs(await acme.issue({ ...named("a-1"), usage: "client" }))).toBe("acme/a-1");
    expect(await whoIs(await beta.issue(named("a-1")))).toBe("beta/a-1");
    expect(await whoIs({})).toBeUndefined();
    expect(principalOf(await from(await acme.issue({ commonName: "ops" })))).toMatchObject({
      tenant: "acme",
      agent: { id: "ops-1", name: "Ops", owner: "ops@example.com" },
      method: "mtls",
      credential: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
    });
  });

  it("may come by an authority between its own and the tenant's that this gateway knows", async () => {
    const [between, elsewhere] = await Promise.all([acme.subordinate("Between"), beta.subordinate("Elsewhere")]);
    const [client, stranger] = await Promise.all([between.issue(named("a-1")), elsewhere.issue(named("a-1"))]);
    await configure({ acme: [trusting(`${acme.cert}\n${between.cert}`)] });
    expect(await whoIs(client)).toBe("acme/a-1");
    await writeFile(further, `${beta.cert}\n${between.cert}\n${elsewhere.cert}`);
    await configure({ acme: [trusting(acme)] });
    const request = await from(client);
    await until("the further authorities count", () => principalOf(request)?.agent.id === "a-1");
    expect(await whoIs(client)).toBe("acme/a-1");
    expect(await whoIs(stranger)).toBeUndefined();
    expect(JSON.stringify(said)).toContain("CN=Elsewhere");
    await configure({ acme: [trusting(between)] });
    expect(await whoIs(await acme.issue(named("a-1")))).toBeUndefined();
  });

  it("of an authority that no tenant names, or of the time before or after its validity, is nobody's", async () => {
    await configure({ acme: [trusting(acme)] });
    const dayMs = 86_400_000;
    expect(await whoIs(await beta.issue(named("a-1")))).toBeUndefined();
    const expired = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
    expect(await whoIs(await acme.issue({ ...named("a-1"), ...expired }))).toBeUndefined();
    expect(await whoIs(await acme.issue({ ...named("a-1"), notBefore: new Date(Date.now() + dayMs) }))).toBeUndefined();
  });

  it("with names of no agent, of two, or that stand for no agent's id is nobody's", async () => {
    await configure({ acme: [trusting(acme)] });
    for (const wanted of [
      { commonName: "somebody" },
      named("a-1", "a-2"),
      { commonName: "ops", ...named("a-1") },
      ...["", "a/b", "a b", "ä", "*", "a\0b"].map((id) => named(id)),
      { sans: [{ type: "dns", value: "spiffe://example/agent/a-1" }] as const },
      { commonName: "spiffe://example/agent/a-1" },
    ])
      expect(await whoIs(await acme.issue(wanted)), JSON.stringify(wanted)).toBeUndefined();
    expect(await whoIs(await acme.issue(named("a-1", "a-1")))).toBe("acme/a-1");
  });

  it("that two tenants take for theirs is nobody's, unless their names keep them apart", async () => {
    await configure({ acme: [trusting(acme)], beta: [trusting(acme)] });
    said.length = 0;
    expect(await whoIs(await acme.issue(named("a-1")))).toBeUndefined();
    expect(JSON.stringify(said)).toContain("several agents");
    await configure({ acme: [trusting(acme)], beta: [trusting(acme, { agents: [{ dns: "*.beta.example" }] })] });
    expect(await whoIs(await acme.issue(named("a-1")))).toBe("acme/a-1");
    expect(await whoIs(await acme.issue({ sans: [{ type: "dns", value: "b-1.beta.example" }] }))).toBe("beta/b-1");
  });

  it("beside a credential in a header of its tenant speaks for nobody by itself, and contradicts one of somebody else", async () => {
    await configure({ acme: [trusting(acme)] });
    const client = await acme.issue(named("a-1"));
    expect(await whoIs(client, { "x-agent-api-key": "wrong" })).toBeUndefined();
    expect(await whoIs(client, { authorization: "Bearer wrong" })).toBeUndefined();
    const request = await from(client);
    const other = (tenant: string, id: string): Principal => ({
      tenant,
      agent: { id },
      method: "apiKey",
      credential: "",
    });
    expect(method.contradicts?.(request, other("acme", "a-1"))).toBe(false);
    expect(method.contradicts?.(request, other("acme", "a-2"))).toBe(true);
    expect(method.contradicts?.(request, other("beta", "a-1"))).toBe(true);
    expect(method.contradicts?.(await from({}), other("acme", "a-2"))).toBe(false);
  });

  it("A8: is known no more once its entry or authority is taken away, or its file or revocation list says so", async () => {
    const client = await acme.issue(named("a-1"));
    const [ca, crl] = ["ca.pem", "crl.pem"].map(file) as [string, string];
    await writeFile(ca, acme.cert);
    await writeFile(crl, await acme.revocations([]));
    const whole = trusting(`\${file:${ca}}`, { crl: `\${file:${crl}}` });
    await configure({ acme: [whole] });
    const request = await from(client);
    const principal = principalOf(request) as Principal;
    expect(method.knows(principal)).toBe(true);
    await configure({ acme: [{ ...whole, agents: [{ commonName: "ops", agentId: "ops-1" }] }] });
    expect(method.knows(principal)).toBe(false);
    await configure({ acme: [trusting(beta)] });
    expect(method.knows(principal)).toBe(false);
    await configure({ acme: [whole] });
    expect(method.knows(principal)).toBe(true);

    const before = changes;
    await writeFile(crl, await acme.revocations([client]));
    await until("the new list counts", () => changes > before && !method.knows(principal));
    expect(principalOf(request)).toBeUndefined();
    await writeFile(crl, "broken");
    await until("the broken list is told", () => JSON.stringify(method.problems).includes("no revocation list"));
    expect(method.knows(principal)).toBe(false);
    await writeFile(crl, await acme.revocations([]));
    await until("the list lets it in again", () => method.knows(principal));
    await writeFile(ca, beta.cert);
    await until("the new authority counts", () => !method.knows(principal));
  });

  it("A8: is known no more once the revocation list has run out, on connections that are open too, and again with a new one", async () => {
    const crl = file("short.pem");
    const dayMs = 86_400_000;
    await writeFile(crl, await acme.revocations([], new Date(Date.now() + dayMs)));
    await configure({ acme: [trusting(acme, { crl: `\${file:${crl}}` })] });
    const request = await from(await acme.issue({ ...named("a-1"), notAfter: new Date(Date.now() + 9 * dayMs) }));
    const principal = principalOf(request) as Principal;
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + dayMs + 1_000 });
    expect([method.knows(principal), principalOf(request)]).toEqual([false, undefined]);
    await writeFile(crl, await acme.revocations([], new Date(Date.now() + dayMs)));
    await until("the new list counts", () => method.knows(principal));
    vi.useRealTimers();
  });

  it("lets nobody in where the tenant's authorities can't be read, and says so", async () => {
    said.length = 0;
    await configure({ acme: [trusting(`\${file:${file("missing.pem")}}`)], beta: [trusting(beta)] });
    expect(await whoIs(await acme.issue(named("a-1")))).toBeUndefined();
    expect(await whoIs(await beta.issue(named("b-1")))).toBe("beta/b-1");
    expect(JSON.stringify(method.problems)).toMatch(/tenant acme, mtls: .*missing\.pem/);
    const leaf = await acme.issue({ commonName: "ops" });
    await configure({ acme: [trusting(leaf.cert)] });
    expect(await whoIs(leaf)).toBeUndefined();
    expect(JSON.stringify(method.problems)).toMatch(/no authority's/);
  });
});
