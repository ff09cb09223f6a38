import { identityOf, type CallHead, type Endpoint } from "@sluice/contracts";
import { expect, test } from "vitest";
import { ListPages } from "./list-pages.ts";

const endpoint = {
  name: "s",
  url: "http://s/mcp",
  listCacheSeconds: 60,
  forwardHeaders: ["x-user"],
} as unknown as Endpoint;
const body = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/list"}');
const page = (scope: string) => Buffer.from(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"cacheScope":"${scope}"}}`);

interface Asking {
  readonly agent?: string;
  readonly owner?: string;
  readonly user?: string;
  readonly session?: string;
  readonly server?: string;
}

const whoIs = (agent: CallHead["agent"]) => ({ agent, identity: identityOf({ agent }) });

function head({ agent = "a-1", owner, user = "alice", session, server = "s" }: Asking = {}): CallHead {
  return {
    tenant: "t",
    ...whoIs({ id: agent, ...(owner !== undefined && { owner }) }),
    server,
    method: "tools/list",
    rpcId: "1",
    headers: { "x-user": user, "user-agent": String(Math.random()) },
    ...(session !== undefined && { session: { id: session, upstream: "u" } }),
  } as unknown as CallHead;
}

/** Whether the page of this call is kept; where it is not, it is now. */
async function isKept(pages: ListPages, asking?: Asking, scope = "private"): Promise<boolean> {
  const asked = pages.of(head(asking), endpoint, body);
  if ((await asked?.answer()) !== undefined) return true;
  asked?.take(page(scope), { inStream: false });
  return false;
}

test("a page is kept apart for header fields that the endpoint lets through, for each session, and for each owner of one agent", async () => {
  const pages = new ListPages();
  expect(await isKept(pages)).toBe(false);
  expect(await isKept(pages)).toBe(true);
  expect(await isKept(pages, { user: "bob" })).toBe(false);
  expect(await isKept(pages, { session: "one" })).toBe(false);
  expect(await isKept(pages, { session: "two" })).toBe(false);
  expect(await isKept(pages, { session: "two" })).toBe(true);
  expect(await isKept(pages, { agent: "a-2" })).toBe(false);
  expect(await isKept(pages, { owner: "team-2" })).toBe(false);
});

test("a public page is for every agent and session whose header fields are the same", async () => {
  const pages = new ListPages();
  await isKept(pages, {}, "public");
  expect(await isKept(pages, { agent: "a-2", session: "one" })).toBe(true);
  expect(await isKept(pages, { agent: "a-2", user: "bob" })).toBe(false);
});

test("a change drops the pages of its list and server, and no others", async () => {
  const pages = new ListPages();
  await isKept(pages, {}, "public");
  await isKept(pages, { server: "other" });
  pages.drop({ tenant: "t", server: "s" }, ["prompts/list"]);
  expect(await isKept(pages)).toBe(true);
  pages.drop({ tenant: "t", server: "s" }, ["tools/list", "tools/list"]);
  expect(await isKept(pages)).toBe(false);
  expect(await isKept(pages, { server: "other" })).toBe(true);
});
