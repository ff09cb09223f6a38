import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

const run = promisify(execFile);
const sluice = join(import.meta.dirname, "../../cli/bin/sluice.mjs");
const person = "ada.lovelace@example.com";
const stack = new AsyncDisposableStack();
let house: TestHouse;

beforeAll(async () => {
  const upstream = stack.use(await FakeUpstream.start());
  const mcp = { endpoints: [{ name: "main", url: upstream.url }] };
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  house = await startTestHouse({
    envOf: { audit: { AUDIT_RETENTION_INTERVAL_MS: "1000" }, signer: { SIGNER_INTERVAL_MS: "300" } },
    tenants: {
      acme: { agents: [person, "other"], mcp, accessRules },
      brief: { agents: ["busy"], mcp, accessRules, audit: { retentionDays: 1 } },
    },
  });
  stack.use(house);
});
afterAll(() => stack.disposeAsync());

async function calls(agent: string, count: number, tenant = "acme"): Promise<void> {
  for (let n = 0; n < count; n += 25)
    await Promise.all(
      Array.from({ length: Math.min(25, count - n) }, () =>
        send(`${house.house.url}/mcp`, { headers: as(house.key(agent, tenant)), body: toolCall("echo") }),
      ),
    );
}

const count = async (where: string) =>
  Number((await house.query<{ n: string }>(`select count(*) as n from audit_events where ${where}`))[0]?.n);
const cli = (...args: string[]) => run(process.execPath, [sluice, "audit", ...args, "--data", house.dataDir]);

describe("sluice audit erase", () => {
  const agents = async () =>
    (
      await house.query<{ agent_id: string }>(
        "select distinct agent_id from audit_calls where tenant = 'acme' order by agent_id",
      )
    ).map(({ agent_id: id }) => id);

  it("leaves of a person the same mark in every event, and who comes again is somebody else", async () => {
    await calls(person, 3);
    await calls("other", 1);
    await until("the calls are stored", async () => (await count("log = 'acme' and kind = 'outcome'")) === 4);
    const leaves = await house.query("select leaf_index, leaf_hash from audit_events where log = 'acme' order by 1");
    const asked = await cli("erase", "--tenant", "acme", "--subject", person).catch((error: unknown) => error);
    expect(asked).toMatchObject({ code: 1, stderr: expect.stringContaining("give --yes") as unknown });
    expect(asked).toMatchObject({ stdout: expect.stringContaining("3 events, captured fields of 0") as unknown });
    expect(await agents()).toEqual([person, "other"]);

    const { stdout } = await cli("erase", "--tenant", "acme", "--subject", person, "--yes");
    const mark = /Views show (erased-[0-9a-f]{12}) from now on/.exec(stdout)?.[1] ?? "";
    expect(await agents()).toEqual([mark, "other"]);
    expect(await house.query("select from audit_subjects where value = $1", [person])).toEqual([]);
    expect(
      await house.query(
        "select leaf_index, leaf_hash from audit_events where log = 'acme' and leaf_index < $1 order by 1",
        [leaves.length],
      ),
    ).toEqual(leaves);

    await calls(person, 1);
    await until("the person is known again", async () => (await agents()).includes(person));
    expect(await agents()).toEqual([person, mark, "other"].toSorted());
    await expect(cli("erase", "--tenant", "acme", "--subject", "nobody", "--yes")).rejects.toMatchObject({
      stderr: expect.stringContaining("speaks of nobody by that name") as unknown,
    });
  });

  it("is on record before it is done, by what is left of the person, whose name no log has", async () => {
    const actions = () =>
      house.query<{ subject: string; result: string; operator: string }>(
        "select subject, result, operator from audit_actions where action = 'audit.erase'",
      );
    await until("it is stored", async () => (await actions())[0]?.result === "done");
    const [action, ...others] = await actions();
    expect(others).toEqual([]);
    expect(action).toMatchObject({ subject: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown, operator: "admin" });
    expect(await house.logs()).not.toContain(person);
  });
});

describe("retentionDays", () => {
  const rounds = async () => {
    const [audit] = house.house.of("audit");
    const text = await (await fetch(`${audit?.health}/metrics`)).text();
    return Number(/^sluice_audit_retention_last_run_timestamp_seconds\S* (\S+)$/m.exec(text)?.[1]);
  };

  it("removes whole tiles of old events that a checkpoint covers, none before, and says so in the trail", async () => {
    await Promise.all(
      house.house.of("signer").map(async (replica) => {
        replica.endedOnPurpose = true;
        await replica.process.stop();
      }),
    );
    await calls("busy", 300, "brief");
    await until("the calls are stored", async () => (await count("log = 'brief' and kind = 'outcome'")) === 300);
    await house.query("alter table audit_events disable trigger audit_append_only");
    await house.query("update audit_events set at = at - interval '2 days' where log = 'brief' and leaf_index < 590");
    await house.query("alter table audit_events enable trigger audit_append_only");
    const before = await rounds();
    await until("two more rounds are over", async () => (await rounds()) > before + 2);
    expect(await count("log = 'brief' and leaf_index < 512")).toBe(512);

    await house.house.add("signer");
    await until("the front is removed", async () => (await count("log = 'brief' and leaf_index < 512")) === 0);
    expect(await count("log = 'brief' and leaf_index between 512 and 599")).toBe(88);
    expect(
      await house.query("select tile_index from audit_tiles where log = 'brief' and level = 0 order by 1"),
    ).toHaveLength(2);
    const actions = () =>
      house.query(
        "select subject, result, count from audit_actions where tenant = 'brief' and action = 'audit.retention'",
      );
    await until("it is on record", async () => JSON.stringify(await actions()).includes("done"));
    expect(await actions()).toEqual([{ subject: "0-511", result: "done", count: 512 }]);

    await calls("busy", 1, "brief");
    await until(
      "the trail goes on",
      async () => (await count("log = 'brief' and kind = 'outcome' and leaf_index > 599")) === 1,
    );
    expect(await count("log = 'acme' and leaf_index = 0")).toBe(1);
  });
});
