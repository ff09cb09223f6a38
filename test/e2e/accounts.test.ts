import { randomBytes } from "node:crypto";
import { PermissionViolationError, type NatsConnection } from "@nats-io/transport-node";
import { permissionsOf } from "@sluice/bus";
import { credentialHash, credentialText, serviceNames, type Credential, type ServiceName } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectAs } from "./bus-spy.ts";
import { as, send, toolCall } from "./http.ts";

let house: TestHouse;
const stack = new AsyncDisposableStack();
const accounts = new Map<ServiceName, Account>();

const landmark = "nobody.may";

/** One service's real account, and what NATS refused it. */
class Account {
  readonly nats: NatsConnection;
  readonly #refused: string[] = [];

  constructor(nats: NatsConnection) {
    this.nats = nats;
    void this.#listen();
  }

  /** Which of these subjects it may not publish on. */
  async refusedToPublish(subjects: readonly string[], payload = ""): Promise<string[]> {
    for (const subject of subjects) this.nats.publish(subject, payload);
    return this.#refusedSoFar();
  }

  /** Which of these it may not hear. */
  async refusedToSubscribe(subjects: readonly string[]): Promise<string[]> {
    const subscriptions = subjects.map((subject) => this.nats.subscribe(subject, { callback: () => {} }));
    const refused = await this.#refusedSoFar();
    for (const subscription of subscriptions) subscription.unsubscribe();
    return refused;
  }

  /** NATS refuses in the order in which it was asked: once it refused what nobody may, it has answered everything before. */
  async #refusedSoFar(): Promise<string[]> {
    this.nats.publish(landmark);
    await until("NATS' last refusal", () => this.#refused.includes(landmark));
    return this.#refused
      .splice(0)
      .filter((subject) => subject !== landmark)
      .toSorted();
  }

  async #listen(): Promise<void> {
    for await (const status of this.nats.status())
      if (status.type === "error" && status.error instanceof PermissionViolationError)
        this.#refused.push(status.error.subject);
  }
}

const account = (service: ServiceName) => accounts.get(service) as Account;

beforeAll(async () => {
  const upstream = stack.use(await FakeUpstream.start());
  const acme = {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["danger"] }],
  };
  house = stack.use(await startTestHouse({ tenants: { acme } }));
  for (const service of serviceNames) {
    const nats = await connectAs(house, service);
    stack.defer(() => nats.close());
    accounts.set(service, new Account(nats));
  }
});
afterAll(() => stack.disposeAsync());

/** NATS' rule of wildcards. */
function covers(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split("."), subject.split(".")];
  const tail = wanted.at(-1) === ">";
  if (tail ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every(
    (token, at) => token === given[at] || (token === "*" && given[at] !== ">") || (tail && at === wanted.length - 1),
  );
}

/** A subject that a pattern stands for. */
const oneOf = (pattern: string) => pattern.replaceAll("*", "x1").replace(/>$/, "x1.x2");
const others = (service: ServiceName) => serviceNames.filter((name) => name !== service);

/** Who may publish there, and nobody else. */
const publishers: Readonly<Record<string, readonly ServiceName[]>> = {
  "gw.admit.v1.mcp.policy.limit.-": ["ingress"],
  "gw.call.v1.egress.mcp": ["ingress"],
  "gw.call.v1.egress.i1": ["ingress"],
  "gw.stream.v1.0011223344556677.i1.1": ["egress"],
  "gw.ask.v1.policy.filter": ["ingress", "egress"],
  "gw.ask.v1.session-manager.create": ["egress"],
  "gw.ask.v1.session-manager.find": ["egress"],
  "gw.ask.v1.rate-limit.give": ["ingress"],
  "gw.ask.v1.audit.page": ["control"],
  "gw.ask.v1.audit.content": ["control"],
  "gw.own.v1.egress.cancel": ["ingress", "egress"],
  "gw.own.v1.ingress.i1.post": ["ingress"],
  "gw.own.v1.ingress.i1.replaced": ["egress"],
  "gw.own.v1.rate-limit.i1.give": ["ingress"],
  "gw.dead.v1.audit": ["audit"],
  "gw.push.v1.0011223344556677.AAAAAAAAAAAAAAAAAAAAAA": ["ingress"],
  "gw.dead.v1.push": ["egress"],
  "gw.ask.v1.session-manager.push-find": ["egress"],
  "gw.audit.v1.ingress": ["ingress"],
  "gw.audit.v1.egress": ["egress"],
  "gw.audit.v1.control": ["control"],
  "gw.audit.v1.audit": ["audit"],
  "gw.audit.v1.signer": ["signer"],
  "gw.trail.v1.acme": ["audit"],
  "gw.checkpoint.v1.acme": ["signer"],
  "$KV.checkpoints.acme": ["signer"],
  "$JS.API.STREAM.MSG.GET.TRAIL": ["audit", "control"],
  "$JS.API.STREAM.MSG.GET.CHECKPOINTS": ["signer", "control"],
  "$JS.API.STREAM.PURGE.TRAIL": ["control"],
  "$JS.API.STREAM.MSG.DELETE.CHECKPOINTS": ["control"],
  "$JS.API.CONSUMER.CREATE.KV_checkpoints.x1.$KV.checkpoints.>": ["signer", "control"],
  "$JS.API.CONSUMER.CREATE.TRAIL.x1.gw.trail.v1.acme": ["control"],
  "gw.inbox.v1.ingress.i1.7": [],
  "gw.inbox.v1.ingress.i1.7.nats": [],
  "_INBOX.ingress.x1": [],
  "$KV.conf.ingress._": ["control"],
  "$KV.conf.policy.acme_0": ["control"],
  "$KV.credentials.0011223344556677": ["control"],
  "$JS.API.STREAM.CREATE.X": ["control"],
  "$JS.API.STREAM.UPDATE.AUDIT": ["control"],
  "$JS.API.STREAM.DELETE.AUDIT": ["control"],
  "$JS.API.STREAM.PURGE.AUDIT": ["control"],
  "$JS.API.STREAM.INFO.AUDIT": ["audit", "control"],
  "$JS.API.STREAM.INFO.AUDIT_DEAD": ["audit", "control"],
  "$JS.API.STREAM.PURGE.KV_conf": ["control"],
  "$JS.API.STREAM.PURGE.KV_credentials": ["control"],
  "$JS.API.STREAM.PURGE.REPLIES": ["egress", "control"],
  "$JS.API.STREAM.MSG.GET.AUDIT": ["control"],
  "$JS.API.STREAM.MSG.GET.KV_credentials": ["control"],
  "$JS.API.DIRECT.GET.KV_credentials.$KV.credentials.x1": ["control"],
  "$JS.API.DIRECT.GET.REPLIES": ["ingress", "control"],
  "$JS.API.CONSUMER.CREATE.AUDIT.audit": ["audit", "control"],
  "$JS.API.CONSUMER.DELETE.AUDIT.audit": ["control"],
  "$JS.API.CONSUMER.CREATE.KV_credentials.x1.$KV.credentials.>": ["ingress", "control"],
  "$JS.API.CONSUMER.CREATE.KV_conf.x1.$KV.conf.>": ["control"],
  "$JS.API.CONSUMER.CREATE.KV_conf.x1.$KV.conf.egress.*": ["egress", "control"],
  "$JS.API.CONSUMER.CREATE.KV_conf.x1.$KV.conf.ingress.*": ["ingress", "control"],
  "$JS.API.CONSUMER.CREATE.KV_conf.x1": ["control"],
  "$JS.ACK.AUDIT.audit.1.1.1.1.1": ["audit"],
  "$JS.API.STREAM.INFO.PUSH": ["ingress", "egress", "control"],
  "$JS.API.STREAM.PURGE.PUSH": ["control"],
  "$JS.API.CONSUMER.MSG.NEXT.PUSH.push": ["egress", "control"],
  "$JS.API.CONSUMER.DELETE.PUSH.push": ["control"],
  "$JS.ACK.PUSH.push.1.1.1.1.1": ["egress"],
  "$SYS.REQ.SERVER.PING": [],
};

/** Who may hear it. */
const hearers: Readonly<Record<string, readonly ServiceName[]>> = {
  ">": [],
  "gw.>": [],
  "$SYS.>": [],
  "$JS.API.>": [],
  "$KV.>": [],
  "$KV.conf.>": [],
  "$KV.credentials.>": [],
  "gw.admit.v1.>": [],
  "gw.admit.v1.*.policy.*.*": ["policy"],
  "gw.admit.v1.*.*.limit.*": ["rate-limit"],
  "gw.admit.v1.*.*.*.session": ["session-manager"],
  "gw.call.v1.egress.mcp": ["egress"],
  "gw.stream.v1.>": ["ingress"],
  "gw.ask.v1.policy.filter": ["policy"],
  "gw.ask.v1.session-manager.find": ["session-manager"],
  "gw.ask.v1.rate-limit.give": ["rate-limit"],
  "gw.ask.v1.audit.page": ["audit"],
  "gw.ask.v1.audit.content": ["audit"],
  "gw.own.v1.egress.cancel": ["egress"],
  "gw.own.v1.ingress.i1.post": ["ingress"],
  "gw.own.v1.rate-limit.i1.give": ["rate-limit"],
  "gw.alive.v1.ingress.*": ["egress", "audit", "control"],
  "gw.alive.v1.egress.*": ["ingress", "egress", "audit", "control"],
  "gw.alive.v1.policy.*": ["control"],
  "gw.audit.v1.>": [],
  "gw.dead.v1.audit": [],
  "gw.push.v1.>": [],
  "gw.trail.v1.>": [],
  "gw.checkpoint.v1.>": [],
  "gw.dead.v1.push": [],
};

describe("each service's account", () => {
  it.each(serviceNames)("A24: %s publishes nothing that is another service's, and hears nothing", async (service) => {
    const { publish, subscribe } = permissionsOf(service);
    const foreign = (side: "publish" | "subscribe", own: readonly string[]) => {
      const all = others(service).flatMap((name) => permissionsOf(name)[side].map(oneOf));
      return [...new Set(all)].filter((subject) => !own.some((pattern) => covers(pattern, subject))).toSorted();
    };
    const [unpublished, unheard] = [foreign("publish", publish), foreign("subscribe", subscribe)];
    expect(unpublished.length).toBeGreaterThan(10);
    expect(unheard.length).toBeGreaterThan(10);
    expect(await account(service).refusedToPublish(unpublished)).toEqual(unpublished);
    expect(await account(service).refusedToSubscribe(unheard)).toEqual(unheard);
  });

  it.each(serviceNames)("A24: %s may do what is written here and no more", async (service) => {
    const notFor = (table: Readonly<Record<string, readonly ServiceName[]>>) =>
      Object.entries(table).flatMap(([subject, allowed]) => (allowed.includes(service) ? [] : [subject]));
    const names = serviceNames.filter((name) => name !== service);
    const speaking = names.flatMap((name) => [`gw.alive.v1.${name}.i1`, `gw.inbox.v1.ingress.i1.7.${name}`]);
    const unpublished = [...notFor(publishers), ...speaking].toSorted();
    expect(await account(service).refusedToPublish(unpublished)).toEqual(unpublished);
    const inboxes = names.flatMap((name) => [`gw.inbox.v1.${name}.>`, `_INBOX.${name}.>`]);
    const unheard = [...notFor(hearers), ...inboxes].toSorted();
    expect(await account(service).refusedToSubscribe(unheard)).toEqual(unheard);
    const heard = Object.entries(hearers).flatMap(([subject, allowed]) => (allowed.includes(service) ? [subject] : []));
    expect(await account(service).refusedToSubscribe(heard)).toEqual([]);
    expect(await account(service).refusedToPublish([`gw.inbox.v1.ingress.i1.7.${service}`])).toEqual([]);
  });

  it("A24: nobody gets in without an account, or as another service", async () => {
    const { connect } = await import("@nats-io/transport-node");
    const servers = house.house.parts.nats.url;
    await expect(connect({ servers, reconnect: false })).rejects.toThrow(/authorization/i);
    await expect(connect({ servers, user: "control", pass: "wrong", reconnect: false })).rejects.toThrow(
      /authorization/i,
    );
  });
});

const statusOf = async (key: string, tool = "echo") =>
  (await send(`${house.house.url}/mcp`, { headers: as(key), body: toolCall(tool) })).status;

function forgedKey(id: string): { text: string; entry: Credential } {
  const text = credentialText("key", id, randomBytes(32));
  const hash = credentialHash(text);
  const agent = { id: "forged-1" };
  return {
    text,
    entry: { id, kind: "key", hash, tenant: "acme", agent, listed: false, createdAtMs: 0, createdBy: "x" },
  };
}

describe("what is forged on the bus", () => {
  it("A24: a credential of any service's but control's making is refused by NATS and opens nothing", async () => {
    const { text, entry } = forgedKey("00000000000000f1");
    const subject = `$KV.credentials.${entry.id}`;
    for (const service of others("control"))
      expect(await account(service).refusedToPublish([subject], JSON.stringify(entry))).toEqual([subject]);
    expect(await statusOf(house.key("a-1"))).toBe(200);
    expect(await statusOf(text)).toBe(401);
  });

  it("A24: an entry that is no credential, or stands under another's name, counts for nothing and is logged", async () => {
    const [moved, broken, good] = [
      forgedKey("00000000000000f2"),
      forgedKey("00000000000000f3"),
      forgedKey("00000000000000f4"),
    ];
    const { nats } = account("control");
    nats.publish("$KV.credentials.00000000000000ff", JSON.stringify(moved.entry));
    nats.publish(`$KV.credentials.${broken.entry.id}`, JSON.stringify({ ...broken.entry, kind: "master" }));
    nats.publish(`$KV.credentials.${good.entry.id}`, JSON.stringify(good.entry));
    await until("the good one to be known", async () => (await statusOf(good.text)) === 200);
    expect(await statusOf(moved.text)).toBe(401);
    expect(await statusOf(broken.text)).toBe(401);
    await until("the complaint", async () => (await house.logs()).includes("counts for nothing"));
    expect(await house.logs()).not.toContain(moved.entry.hash);
  });

  it("A24: a configuration that another service writes is refused by NATS, and the rules stay as they are", async () => {
    const pieces = ["$KV.conf.policy.acme_0", "$KV.conf.policy._", "$KV.conf.head", "$KV.conf.ingress.acme_0"];
    for (const service of others("control"))
      expect(await account(service).refusedToPublish(pieces, '{"version":999,"tenants":{}}')).toEqual(
        pieces.toSorted(),
      );
    expect(await statusOf(house.key("a-1"), "danger")).toBe(403);
    expect(await statusOf(house.key("a-1"))).toBe(200);
  });
});
