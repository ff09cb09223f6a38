import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { sessionNameOf } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BusSpy, connectAs, natsPassword, type Overheard } from "./bus-spy.ts";
import { as, json, send, toolCall, type Answer } from "./http.ts";
import { runService } from "./service-run.ts";

const signingSecret = "cnry-signing-Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga";
const urlToken = "cnry-url-token";
/** What passes to the upstream and back, and may lie in messages that carry it, but nowhere else. */
const content = {
  argument: "cnry-argument",
  result: "cnry-result",
  failure: "cnry-failure",
  unparsed: "cnry-unparsed",
};
const credentials = { bearer: "cnry-bearer", cookie: "cnry-cookie", query: "cnry-query" };

let house: TestHouse;
let upstream: FakeUpstream;
let collector: FakeUpstream;
let spy: BusSpy;
let secrets: string[];
let answers: Answer[];
let overheard: Overheard[];
let stored: string[];
let sessionId: string;

beforeAll(async () => {
  collector = await FakeUpstream.start(
    (_request, response) => void response.writeHead(200, { "content-type": "application/json" }).end("{}"),
  );
  upstream = await FakeUpstream.start(({ message }, response) => {
    const tool = String(message?.params?.["name"]);
    const text = JSON.stringify({
      jsonrpc: "2.0",
      id: message?.id,
      result: { content: [{ type: "text", text: content.result }] },
    });
    if (message?.method === "initialize")
      response
        .writeHead(200, { "content-type": "text/event-stream", "mcp-session-id": "upstream-session" })
        .end(`data: ${text}\n\n`);
    else if (tool === "reset") response.destroy();
    else if (tool === "fail") response.writeHead(500, { "content-type": "text/plain" }).end(content.failure);
    else if (tool === "stream")
      response.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${text}\n\n`);
    else response.writeHead(200, { "content-type": "application/json" }).end(text);
  });
  const endpoints = [
    { name: "main", url: upstream.url, signing: { keyId: "k-1", secret: "${env:SIGNING_SECRET}" } },
    { name: "down", url: `http://127.0.0.1:9/mcp?token=${urlToken}` },
  ];
  house = await startTestHouse({
    env: {
      SIGNING_SECRET: signingSecret,
      LOG_LEVEL: "trace",
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
      OTEL_BSP_SCHEDULE_DELAY: "100",
    },
    tenants: {
      acme: {
        agents: ["a-1"],
        mcp: { endpoints },
        accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["denied*"] }],
        limits: [
          { path: "/mcp/tools/call", tool: "limited", maxRequests: 0, windowSeconds: 60 },
          { path: "/mcp/tools/call", tool: "counted", maxRequests: 1_000_000, windowSeconds: 60 },
        ],
      },
    },
  });
  spy = await BusSpy.open(house);
  const users = ["ingress", "policy", "rate-limit", "session-manager", "egress", "audit", "control"];
  const passwords = await Promise.all(users.map((user) => natsPassword(house, user)));
  const databasePassword = new URL(house.house.parts.postgres.url).password;
  secrets = [
    house.key("a-1"),
    signingSecret,
    house.house.adminToken,
    databasePassword,
    ...passwords,
    ...Object.values(credentials),
  ];
  expect(secrets.every((secret) => secret.length > 8)).toBe(true);
  await drive();
});
afterAll(async () => {
  await spy?.[Symbol.asyncDispose]();
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await collector?.[Symbol.asyncDispose]();
});

/** Every way a call can end, secrets all over it. The audit service rests meanwhile, so that its stream can be read whole. */
async function drive(): Promise<void> {
  for (const replica of house.house.of("audit")) {
    replica.endedOnPurpose = true;
    await replica.process.stop();
  }
  const all = `${house.house.url}/mcp`;
  const url = `${all}/main`;
  const headers = as(house.key("a-1"), { cookie: credentials.cookie });
  const call = (tool: string) =>
    send(`${url}?key=${credentials.query}`, { headers, body: toolCall(tool, { secret: content.argument }) });
  answers = [];
  for (const tool of ["echo", "stream", "fail", "reset", "denied", "limited", hostileName])
    answers.push(await call(tool));
  answers.push(
    await send(`${all}/down`, { headers, body: toolCall("echo", { secret: content.argument }) }),
    await send(url, { headers, body: `{"${content.unparsed}":1,"${content.unparsed}":2` }),
    await send(url, { headers, body: `{"jsonrpc":"2.0","id":1,"method":"${content.unparsed} "}` }),
    await send(url, { headers: { ...headers, "mcp-name": content.unparsed }, body: toolCall("echo") }),
    await send(`${all}/${credentials.query}`, { headers, body: toolCall("echo") }),
    await send(`${url}?k=${credentials.query}`, {
      headers: { ...json, authorization: `Bearer ${credentials.bearer}` },
      body: toolCall("echo"),
    }),
    await send(house.house.adminUrl, { method: "GET", headers: { authorization: `Bearer ${credentials.bearer}` } }),
  );
  const opened = await send(url, {
    headers,
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: {} }),
  });
  sessionId = String(opened.headers["mcp-session-id"]);
  await send(url, { headers: { ...headers, "mcp-session-id": sessionId }, body: toolCall("stream", {}, "in-session") });
  await until("the outcomes in the stream", async () =>
    (stored = await auditStream()).join("").includes('"fault":"upstream_failed"'),
  );
  overheard = await spy.heard((tool) => call(tool));
}

const hostileName = 'x\r\n{"level":"fatal","msg":"forged"}\u2028\u001b[31m';

async function auditStream(): Promise<string[]> {
  const nats = await connectAs(house, "control");
  try {
    const { streams } = await jetstreamManager(nats);
    const { state } = await streams.info("AUDIT");
    const texts: string[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await streams.getMessage("AUDIT", { seq });
      if (message !== null) texts.push(`${message.subject} ${message.string()}`);
    }
    return texts;
  } finally {
    await nats.close();
  }
}

/** The bytes that NATS has on disk for a stream. */
async function filesOf(stream: string): Promise<string> {
  const files = await readdir(join(house.dataDir, "nats"), { recursive: true, withFileTypes: true });
  const own = files.filter((file) => file.isFile() && `${file.parentPath}/`.includes(`/${stream}/`));
  return (await Promise.all(own.map((file) => readFile(join(file.parentPath, file.name), "latin1")))).join("\n");
}

function expectNone(text: string, what: string, of: readonly string[]) {
  for (const secret of of) expect(text.includes(secret), `${secret.slice(0, 9)}… in ${what}`).toBe(false);
}

describe("canary secrets in credentials, configuration, arguments and results", () => {
  const everything = () => [...secrets, ...Object.values(content), urlToken];

  it("A31: every way of ending was taken, and what belongs to the caller is there", () => {
    expect(answers.map(({ status }) => status)).toEqual([
      200, 200, 500, 502, 403, 429, 200, 502, 400, 400, 400, 404, 401, 401,
    ]);
    expect(upstream.everything).toContain(content.argument);
    expect(answers[0]?.text).toContain(content.result);
  });

  it("A31: none is in an answer that the gateway itself gives", () => {
    for (const [index, answer] of answers.entries()) {
      expectNone(answer.everything, `answer ${index}`, [...secrets, urlToken, content.argument, content.unparsed]);
    }
  });

  it("A31: none is in what is said on the bus; arguments travel only in the call itself and results only in replies", () => {
    expect(overheard.some(({ subject }) => subject.startsWith("gw.call."))).toBe(true);
    for (const { subject, text } of overheard) {
      expectNone(subject, "a subject", everything());
      expectNone(text, subject, [...secrets, urlToken, content.failure, content.unparsed]);
      if (!subject.startsWith("gw.call.")) expectNone(text, subject, [content.argument]);
      if (!subject.startsWith("gw.stream.")) expectNone(text, subject, [content.result]);
    }
  });

  it("A31: none is in the AUDIT stream nor in its files, and no secret in the configuration's", async () => {
    expect(stored.join("\n")).toContain('"target":"limited"');
    expectNone(stored.join("\n"), "AUDIT", everything());
    const [audit, conf, dead] = [await filesOf("AUDIT"), await filesOf("KV_conf"), await filesOf("AUDIT_DEAD")];
    expect(audit).toContain('"target":"limited"');
    expect(conf).toContain("SIGNING_SECRET");
    expectNone(audit, "the files of AUDIT", everything());
    expectNone(dead, "the files of AUDIT_DEAD", everything());
    expectNone(conf, "the files of the configuration", [...secrets, ...Object.values(content)]);
  });

  it("A31: the id of a session, which is a credential too, is in nothing that is kept: there it has a name", async () => {
    expect(sessionId).toMatch(/^[\w-]{43}$/);
    const name = sessionNameOf(sessionId);
    expect(stored.join("\n")).toContain(name);
    const redis = new Redis(house.house.parts.redis.url);
    const keys = await redis.keys("*");
    const values = await Promise.all(keys.filter((key) => key.includes("session")).map((key) => redis.get(key)));
    redis.disconnect();
    expect(keys.join()).toContain(name);
    const kept = [stored.join("\n"), await filesOf("AUDIT"), await filesOf("REPLIES"), keys.join(), values.join()];
    expectNone([...kept, await house.logs()].join("\n"), "what is kept", [sessionId]);
  });

  it("A31: none is in any table of the audit database", async () => {
    await house.house.add("audit");
    await until(
      "all rows",
      async () =>
        (await house.query(`select 1 from audit_calls where state = 'done' and target = '${spy.landmark}'`)).length > 0,
    );
    const text = await house.stored();
    expect(text).toContain("limited");
    expectNone(text, "the audit database", everything());
  });

  it("A31: none is in a trace", async () => {
    await until(
      "spans",
      () => collector.everything.includes("sluice-egress") && collector.everything.includes("sluice-ingress"),
    );
    expectNone(collector.everything, "the traces", everything());
  });

  it("A31: none is in health, metrics or the admin API", async () => {
    const admin = await send(`${house.house.adminUrl}/v1/status`, {
      method: "GET",
      headers: { authorization: `Bearer ${house.house.adminToken}` },
    });
    expectNone(admin.everything, "admin", everything());
    for (const { service, health, process } of house.house.replicas.filter((replica) => replica.process.running)) {
      expect(process.running).toBe(true);
      for (const path of ["/health", "/metrics"])
        expectNone((await send(health + path, { method: "GET" })).everything, service + path, everything());
    }
  });

  it("A31: none is in a log, not at level trace either", async () => {
    const logs = await house.logs();
    expect(logs).toContain('"service":"egress"');
    expectNone(logs, "the logs", everything());
  });
});

describe("what fails to connect", () => {
  const canary = "cnry-password-9Ym3Pd6Jc1";
  const lines = (output: string) =>
    output
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { service: string });

  it("A31: a database, Redis or NATS that refuses a password is reported without it, where it is at work", async () => {
    const postgres = Object.assign(new URL(house.house.parts.postgres.url), { password: canary }).href;
    const stopAt = /"level":"(warn|error|fatal)"/;
    const runs = [
      { service: "audit", env: { DATABASE_URL: postgres, LOG_LEVEL: "trace" } },
      { service: "audit", env: { DATABASE_URL: `postgres://u:${canary}@127.0.0.1:9/x`, LOG_LEVEL: "trace" } },
      { service: "audit", env: { DATABASE_URL: `postgres//u:${canary}@nowhere`, LOG_LEVEL: "trace" } },
      { service: "rate-limit", env: { REDIS_URL: `redis://:${canary}@127.0.0.1:9`, LOG_LEVEL: "trace" } },
      { service: "session-manager", env: { REDIS_URL: `redis//:${canary}@nowhere`, LOG_LEVEL: "trace" } },
      { service: "policy", env: { NATS_URL: `nats://policy:${canary}@127.0.0.1:port`, LOG_LEVEL: "trace" } },
    ] as const;
    for (const run of runs) {
      const { output } = await runService({
        house,
        ...run,
        stopAt,
        meanwhile: () => send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall("counted") }),
      });
      expect(output, JSON.stringify(run.env)).toMatch(stopAt);
      expect(output).not.toContain(canary);
      expect(lines(output).every(({ service }) => service === run.service)).toBe(true);
    }
  });
});

describe("line breaks in values", () => {
  it("A31: each line of every log is one JSON object of the service's own, whatever names and edits hold", async () => {
    await house.configure({
      acme: {
        agents: ["a-1"],
        mcp: { endpoints: [{ name: "main", url: upstream.url }] },
        [`forged\r\n{"level":"fatal","msg":"forged"}`]: 1,
      },
    });
    const admin = { method: "GET", headers: { authorization: `Bearer ${house.house.adminToken}` } };
    await until("the refusal", async () =>
      (await send(`${house.house.adminUrl}/v1/status`, admin)).text.includes("forged"),
    );
    const lines = await until("the refusal in the log", async () => {
      const found = (await house.logs()).split("\n").filter((line) => line !== "");
      return found.some((line) => line.includes("forged")) ? found : undefined;
    });
    for (const line of lines) {
      expect(line).toMatch(/^\{.*\}$/);
      const entry = JSON.parse(line) as Record<string, unknown>;
      expect(Object.keys(entry), line).toEqual(expect.arrayContaining(["level", "time", "service"]));
      expect(entry["msg"]).not.toBe("forged");
      // oxlint-disable-next-line no-control-regex
      expect(line).not.toMatch(/[\u0000-\u001f\u007f]/);
    }
  });
});
