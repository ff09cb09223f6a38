import { answerEcho, TestAuthority, until, type Issued } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BusSpy } from "./bus-spy.ts";
import { toolCall } from "./http.ts";
import { agentNamed, proxyHeaders, startTlsHouse, type TlsHouse } from "./tls-house.ts";

const dayMs = 86_400_000;
let tls: TlsHouse;
let clients: Record<"a-1" | "a-2" | "forged" | "expired" | "stranger", Issued>;

beforeAll(async () => {
  tls = await startTlsHouse();
  const { acme } = tls.authorities;
  const expired = { notBefore: new Date(Date.now() - 2 * dayMs), notAfter: new Date(Date.now() - dayMs) };
  clients = {
    "a-1": await acme.issue(agentNamed("a-1")),
    "a-2": await acme.issue(agentNamed("a-2")),
    forged: await (await TestAuthority.create("Acme CA")).issue(agentNamed("a-1")),
    expired: await acme.issue({ ...agentNamed("a-1"), ...expired }),
    stranger: await acme.issue({ commonName: "a-1", usage: "client" }),
  };
});
afterAll(() => tls?.[Symbol.asyncDispose]());
beforeEach(() => void tls.upstream.requests.splice(0));

describe("client certificates", () => {
  it("A2: speak for agents of the tenant whose authority issued them", async () => {
    for (const tenant of ["acme", "beta"] as const) {
      const issuer = tls.authorities[tenant];
      const answer = await tls.call(await issuer.issue(agentNamed("a-9")));
      expect(answer.status).toBe(200);
      const rows = () =>
        tls.house.query<{ tenant: string }>("select tenant from audit_calls where agent_id = 'a-9' and tenant = $1", [
          tenant,
        ]);
      await until(`the call of ${tenant}`, async () => (await rows()).length === 1);
    }
  });

  it("A1: forged, expired, strange or none: every route answers 401, and no message is on the bus", async () => {
    await using spy = await BusSpy.open(tls.house);
    const landmark = (tool: string) => tls.send(tls.address(), { body: toolCall(tool), headers: tls.key });
    await spy.heard(landmark);
    const routes = [
      ...[
        "POST /mcp",
        "GET /mcp",
        "DELETE /mcp",
        "POST /mcp/main",
        "GET /mcp/sse",
        "POST /mcp/messages",
        "POST /mcp/initialize",
      ],
      ...["POST /mcp/tools/list", "POST /mcp/tools/call", "GET /mcp/registration", "POST /nowhere"],
    ];
    for (const client of [undefined, clients.forged, clients.expired, clients.stranger]) {
      for (const route of routes) {
        const [method = "", path] = route.split(" ");
        const body = method === "POST" ? { body: toolCall("read_file") } : {};
        const { status } = await tls.send(tls.address(path), { method, ...body, ...(client && { client }) });
        expect(status, route).toBe(401);
      }
    }
    const header = `Hash=${"0".repeat(64)};Cert="${encodeURIComponent(clients["a-1"].cert)}";URI=spiffe://example/agent/a-1`;
    for (const name of proxyHeaders) expect((await tls.call(undefined, { [name]: header })).status, name).toBe(401);
    expect(await spy.heard(landmark)).toEqual([]);
  });

  it("A15: headers by which a proxy would pass certificates on stay behind", async () => {
    const fields = Object.fromEntries(proxyHeaders.map((name) => [name, "canary"]));
    expect((await tls.call(clients["a-1"], fields)).status).toBe(200);
    expect(tls.upstream.everything).not.toContain("canary");
  });

  it("beside a credential of somebody else, or a wrong one, speak for nobody", async () => {
    expect((await tls.call(clients["a-1"], tls.key)).status).toBe(401);
    expect((await tls.call(clients["a-1"], { "x-agent-api-key": "wrong" })).status).toBe(401);
    expect((await tls.call(clients["a-1"], { authorization: `Bearer ${tls.house.key("k-1")}` })).status).toBe(401);
    expect((await tls.call(clients.stranger, tls.key)).status).toBe(200);
    expect(tls.upstream.requests).toHaveLength(1);
  });

  it("A8: whose entry is removed: its streams close, and its next call gets 401", async () => {
    tls.upstream.handler = (_request, response) =>
      void response.writeHead(200, { "content-type": "text/event-stream" }).write(": open\n\n");
    const [first, second] = await Promise.all([tls.stream(clients["a-1"]), tls.stream(clients["a-2"])]);
    const closed = new Promise((resolve) => first.once("close", resolve));
    await tls.admit(["a-2"]);
    await closed;
    expect(second.destroyed).toBe(false);
    second.destroy();
    tls.upstream.handler = answerEcho;
    expect((await tls.call(clients["a-1"])).status).toBe(401);
    expect((await tls.call(clients["a-2"])).status).toBe(200);
  });
});
