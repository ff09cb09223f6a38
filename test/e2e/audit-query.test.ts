import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeUpstream, startTestHouse, StoredTrail, until, type TestHouse } from "@sluice/testing";
import pg from "pg";
import { stringify } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminCall, type AdminAnswer } from "./admin-call.ts";
import { as, send, toolCall } from "./http.ts";

const stack = new AsyncDisposableStack();
const tokens = { otto: newToken(), carla: newToken() };

let house: TestHouse;

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), "sluice-audit-query-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const upstream = stack.use(await FakeUpstream.start());
  const operator = (name: keyof typeof tokens, role: unknown) => ({
    name,
    role,
    tokens: [`sha256:${createHash("sha256").update(tokens[name]).digest("hex")}`],
  });
  const operators = [operator("otto", "auditor"), operator("carla", ["content-auditor"])];
  await writeFile(join(dir, "operators.yaml"), stringify({ operators }));
  const mcp = { endpoints: [{ name: "main", url: upstream.url }] };
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["danger"] }];
  house = stack.use(
    await startTestHouse({
      envOf: { control: { OPERATORS_FILE: join(dir, "operators.yaml") } },
      tenants: {
        acme: { agents: ["a-1", "a-2"], mcp, accessRules },
        beta: { agents: ["b-1"], mcp, accessRules },
      },
    }),
  );
  const call = (key: string, tool: string) =>
    send(`${house.house.url}/mcp`, { headers: as(key), body: toolCall(tool) });
  await call(house.key("a-1", "acme"), "echo");
  await call(house.key("a-2", "acme"), "danger");
  await call(house.key("b-1", "beta"), "echo");
  await until("all is stored", async () => (await rowsOf("/v1/audit/calls?state=done")).length === 3);
});
afterAll(() => stack.disposeAsync());

function newToken(): string {
  return randomBytes(32).toString("hex");
}

const ask = (path: string, token: string | undefined = tokens.otto): Promise<AdminAnswer> =>
  adminCall(house, { path, token });
const rowsOf = async (path: string) => ((await ask(path)).body["rows"] ?? []) as Record<string, unknown>[];

describe("the trail in the admin API", () => {
  it.each([
    ["tenant=acme", ["a-2", "a-1"]],
    ["agent=b-1", ["b-1"]],
    ["decision=deny", ["a-2"]],
    ["status=403&target=danger", ["a-2"]],
    ["owner=tests&order=oldest", ["a-1", "a-2", "b-1"]],
    ["server=main&tenant=beta&method=tools/call", ["b-1"]],
    ["state=outcome-unknown", []],
  ])("tells an auditor the calls of ?%s", async (query, agents) => {
    expect((await rowsOf(`/v1/audit/calls?${query}`)).map((row) => row["agent_id"])).toEqual(agents);
  });

  it("goes on where a page ended", async () => {
    const { body } = await ask("/v1/audit/calls?limit=2");
    expect(body["rows"]).toHaveLength(2);
    const rest = await ask(`/v1/audit/calls?limit=2&cursor=${String(body["next"])}`);
    expect(rest.body).toMatchObject({ rows: [{ agent_id: "a-1" }] });
    expect(rest.body["next"]).toBeUndefined();
  });

  it.each([
    ["nonsense=1", /nonsense/],
    ["status=ok", /status/],
    ["limit=0", /limit/],
    ["limit=1001", /limit/],
    ["cursor=abc", /cursor/],
    ["since=yesterday", /since.*2030-01-31/],
    ["agent=%00", /U\+0000/],
    ["tenant=a&tenant=b", /tenant/],
    ["state=lost", /state/],
  ])("answers ?%s with 400 and what is wrong", async (query, reason) => {
    const { status, body } = await ask(`/v1/audit/calls?${query}`);
    expect([status, body["error"]]).toEqual([400, "invalid_request"]);
    expect(body["message"]).toMatch(reason);
  });

  it.each(["' or 1=1 --", "%25", "$1", "a\\", "erased-zzzzzzzzzzzz", "\u202e"])(
    "takes %j for a value that no call has",
    async (value) => {
      for (const name of ["agent", "tenant", "user", "target", "trace", "task", "rule"]) {
        const answer = await ask(`/v1/audit/calls?${name}=${encodeURIComponent(value)}`);
        expect([answer.status, answer.body["rows"]], name).toEqual([200, []]);
      }
    },
  );

  it("tells one call with its events, what operators did, and the rest", async () => {
    const [row] = await rowsOf("/v1/audit/calls?agent=a-1");
    const { body } = await ask(`/v1/audit/calls/${String(row?.["call"])}`);
    expect(body).toMatchObject({ call: { agent_id: "a-1", agent_owner: "tests" } });
    const kinds = (body["events"] as { kind: string }[]).map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(["intent", "outcome"]));
    expect((await ask("/v1/audit/calls/nothing")).status).toBe(404);
    for (const view of ["actions", "refusals", "streams", "checkpoints"])
      expect((await ask(`/v1/audit/${view}`)).status, view).toBe(200);
  });

  it("is closed to who is no operator", async () => {
    for (const token of ["", newToken(), house.key("a-1", "acme")])
      expect((await adminCall(house, { path: "/v1/audit/calls", token })).status).toBe(401);
  });
});

/** As it is stored where a tenant has it kept. */
async function keepContent(call: string): Promise<void> {
  const database = new pg.Client({ connectionString: house.house.parts.postgres.url });
  await database.connect();
  const ofEvent = { event_id: `${call}.q`, log: "acme", call, at: new Date(), content: Buffer.alloc(32) };
  await new StoredTrail(database).event("content", { ...ofEvent, part: "request", bytes: 4 });
  await database.query("insert into audit_content values ($1, $2, 'said')", [`${call}.q`, Buffer.alloc(32)]);
  await database.end();
}

describe("what a call said", () => {
  it("is told to a content-auditor alone, and each time it is on record who read it", async () => {
    const [row] = await rowsOf("/v1/audit/calls?agent=a-1");
    const call = String(row?.["call"]);
    const path = `/v1/audit/calls/${call}/content`;
    for (const token of [tokens.otto, house.house.adminToken])
      expect(await ask(path, token)).toMatchObject({ status: 403, body: { error: "role_denied" } });
    await keepContent(call);
    const told = await ask(`${path}?part=request`, tokens.carla);
    expect(told).toMatchObject({ status: 200, body: { bytes: 4, data: Buffer.from("said").toString("base64") } });
    const read = await until("the readings", async () => {
      const found = await rowsOf("/v1/audit/actions?action=audit.read-content&operator=carla&result=done");
      return found.length > 0 ? found : undefined;
    });
    expect(read[0]).toMatchObject({ subject: `${call} request`, tenant: row?.["tenant"] });
    await until("the refusal", async () => (await rowsOf("/v1/audit/actions?fault=role_denied")).length > 0);
    const [other] = await rowsOf("/v1/audit/calls?agent=b-1");
    expect((await ask(`/v1/audit/calls/${String(other?.["call"])}/content`, tokens.carla)).status).toBe(404);
  });
});
