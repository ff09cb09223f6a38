import { randomBytes, randomUUID } from "node:crypto";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Bus, CredentialBucket } from "@sluice/bus";
import { credentialHash, credentialText, type Credential } from "@sluice/contracts";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminCall } from "./admin-call.ts";
import { natsPassword } from "./bus-spy.ts";
import { startEverything } from "./everything.ts";
import { ScriptedStreams } from "./scripted-streams.ts";
import { answerOf, call, listen, open, type EventReader } from "./wire.ts";

type Transport = Parameters<Client["connect"]>[0];

/** What A8 promises. */
const promisedMs = 5_000;

let streams: ScriptedStreams;
let everything: Awaited<ReturnType<typeof startEverything>>;
let house: TestHouse;
const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
const tenants = (agents: string[]) => ({
  acme: { agents, mcp: { endpoints: [{ name: "scripted", url: streams.upstream.url }] }, accessRules },
  real: { agents: ["r-1"], mcp: { endpoints: [{ name: "everything", url: everything.url }] }, accessRules },
});
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  streams = stack.use(await ScriptedStreams.start());
  everything = stack.use(await startEverything());
  house = stack.use(
    await startTestHouse({
      tenants: tenants(["a-1", "gone-1"]),
      replicas: { ingress: 2 },
      env: { SSE_KEEP_ALIVE_MS: "200" },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const replicas = () => house.house.of("ingress");
const urlAt = (at: number) => `${replicas()[at]?.url}/mcp`;

interface Made {
  readonly id: string;
  /** As the header that shows it. */
  readonly headers: Readonly<Record<string, string>>;
  revoke(): Promise<void>;
}

async function make(kind: "key" | "token", body: object, tenant = "acme"): Promise<Made> {
  const path = `/v1/tenants/${tenant}/${kind}s`;
  const made = await adminCall(house, { path, body });
  expect(made.status).toBe(201);
  const text = String(made.body[kind]);
  return {
    id: String(made.body["id"]),
    headers: kind === "key" ? { "x-agent-api-key": text } : { authorization: `Bearer ${text}` },
    revoke: async () => {
      const revoked = await adminCall(house, { path: `${path}/${String(made.body["id"])}/revoke`, method: "POST" });
      expect(revoked.status).toBe(200);
    },
  };
}

const own = ({ headers }: Made) => ({ "mcp-protocol-version": "2025-06-18", ...headers });
const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
/** The answer itself may never end. */
const statusOf = async (url: string, made: Made) => {
  const response = await answerOf(open({ url, headers: own(made), body: ping }));
  response.destroy();
  return response.statusCode;
};
const statusAt = (at: number, made: Made) => statusOf(urlAt(at), made);
const everywhere = (made: Made, status: number) =>
  until(`${status} everywhere`, async () => {
    const statuses = await Promise.all(replicas().map((_, at) => statusAt(at, made)));
    return statuses.every((one) => one === status);
  });

/** At each replica a call whose answer is a stream, and the stream of an HTTP+SSE client. */
async function openAll(made: Made, name: string): Promise<EventReader[]> {
  await everywhere(made, 200);
  const opened = [0, 1].flatMap((at) => [
    listen({ url: urlAt(at), headers: own(made), body: call(`id-${name}-${at}`, `${name}-${at}`) }),
    listen({ url: `${urlAt(at)}/sse`, method: "GET", headers: own(made) }),
  ]);
  return Promise.all(opened);
}

describe("the streams of a credential that Sluice made", () => {
  it.each([
    ["key", { agent: "a-1" }],
    ["key", { agent: "guest-1", name: "Guest" }],
    ["token", { runtime: "run-1", agent: "a-1" }],
  ] as const)("A8: end on every replica within 5 s when it is revoked (%s, %j)", async (kind, body) => {
    const [made, other] = [await make(kind, body), await make(kind, body)];
    const readers = await openAll(made, `revoked-${randomUUID()}`);
    const others = await openAll(other, `other-${randomUUID()}`);
    await made.revoke();
    await Promise.all(readers.map((reader) => reader.finished(promisedMs)));
    expect(await statusAt(0, made)).toBe(401);
    expect(await statusAt(1, made)).toBe(401);
    for (const reader of others) {
      expect(reader.ended).toBeUndefined();
      reader.leave();
    }
  });

  it("A8: end on every replica when a gateway token expires", async () => {
    const made = await make("token", { runtime: "run-2", ttlSeconds: 3 });
    const readers = await openAll(made, "expiring");
    await Promise.all(readers.map((reader) => reader.finished(3_000 + promisedMs)));
    await everywhere(made, 401);
  });

  it("A8: end when the overlap of a rotation is over", async () => {
    const made = await make("key", { agent: "a-1" });
    const readers = await openAll(made, "rotated");
    const path = `/v1/tenants/acme/keys/${made.id}/rotate`;
    expect((await adminCall(house, { path, body: { overlapSeconds: 1 } })).status).toBe(201);
    await Promise.all(readers.map((reader) => reader.finished(1_000 + promisedMs)));
  });

  it("A8: end when the agent is taken out of the file that it was made for", async () => {
    const made = await make("key", { agent: "gone-1" });
    const readers = await openAll(made, "gone");
    await house.configure(tenants(["a-1"]));
    await Promise.all(readers.map((reader) => reader.finished()));
    await everywhere(made, 401);
  });
});

describe("official clients", () => {
  const clientOf = () => new Client({ name: "test", version: "1" });

  it("A8: of Streamable HTTP get an error for the call that is under way, and 401 after it", async () => {
    const made = await make("key", { agent: "r-1" }, "real");
    const transport = new StreamableHTTPClientTransport(new URL(urlAt(0)), { requestInit: { headers: made.headers } });
    const client = clientOf();
    await until("the client to connect", () =>
      client.connect(transport as Transport).then(
        () => true,
        () => false,
      ),
    );
    const begun = Promise.withResolvers<void>();
    const args = { name: "trigger-long-running-operation", arguments: { duration: 60, steps: 60 } };
    const under = client.callTool(args, undefined, { onprogress: () => begun.resolve() });
    under.catch(() => {});
    await begun.promise;
    const refused = Promise.withResolvers<Error>();
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the client has no such method
    client.onerror = (error) => void (/401|unauthorized/i.test(String(error)) && refused.resolve(error));
    await made.revoke();
    await refused.promise;
    await expect(client.callTool({ name: "echo", arguments: { message: "hi" } })).rejects.toThrow();
    await client.close();
    await expect(under).rejects.toThrow();
  });

  it("A8: of HTTP+SSE lose their stream and get 401 for a new one", async () => {
    const made = await make("key", { agent: "r-1" }, "real");
    await until("the key to be known", async () => (await statusAt(1, made)) !== 401);
    // oxlint-disable-next-line typescript/no-deprecated -- clients of the old transport are what is tested
    const transport = new SSEClientTransport(new URL(`${urlAt(1)}/sse`), { requestInit: { headers: made.headers } });
    const client = clientOf();
    await client.connect(transport);
    expect((await client.listTools()).tools.length).toBeGreaterThan(0);
    const refused = Promise.withResolvers<Error>();
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the client has no such method
    client.onerror = (error) => void (/401/.test(String(error)) && refused.resolve(error));
    await made.revoke();
    await refused.promise;
    await client.close();
  });
});

describe("the credential store", () => {
  it("is known to a replica from its first request on, also with 10,000 credentials in it", async () => {
    await using bus = await Bus.connect({
      url: house.house.parts.nats.url,
      service: "control",
      user: "control",
      pass: await natsPassword(house, "control"),
    });
    const bucket = new CredentialBucket(bus);
    const made = Array.from({ length: 10_000 }, () => guest());
    for (let at = 0; at < made.length; at += 500)
      await Promise.all(made.slice(at, at + 500).map(({ credential }) => bucket.put(credential, 0)));
    const last = { ...made.at(-1)!.made };
    await everywhere(last, 200);
    const fresh = await house.house.add("ingress");
    for (const one of [made[0], made.at(-1)]) expect(await statusOf(`${fresh.url}/mcp`, one!.made)).toBe(200);
    fresh.endedOnPurpose = true;
    await fresh.process.stop();
  });

  it("is read again after NATS was away: keys stay good, and what is revoked then is", async () => {
    const made = await make("key", { agent: "a-1" });
    await everywhere(made, 200);
    await house.house.parts.nats.restart();
    await everywhere(made, 200);
    await until("the revocation", () =>
      made.revoke().then(
        () => true,
        () => false,
      ),
    );
    await everywhere(made, 401);
  });
});

/** A key as control stores it, without the admin API. */
function guest(): { credential: Credential; made: Made } {
  const id = randomBytes(8).toString("hex");
  const text = credentialText("key", id, randomBytes(32));
  const credential: Credential = {
    id,
    kind: "key",
    hash: credentialHash(text),
    tenant: "acme",
    agent: { id: `guest-${id}` },
    listed: false,
    createdAtMs: Date.now(),
    createdBy: "test",
  };
  return { credential, made: { id, headers: { "x-agent-api-key": text }, revoke: () => Promise.resolve() } };
}
