import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Bus, type Incoming } from "@sluice/bus";
import { decodeHeadAndBody, subjects, type CallHead } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OtlpCollector } from "./otlp-collector.ts";
import { call, send } from "./wire.ts";

const canary = "canary-2c9e-in-arguments";
let collector: OtlpCollector;
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  collector = stack.use(await OtlpCollector.start());
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: { endpoints: [{ name: "echo", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_BSP_SCHEDULE_DELAY: "100",
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

/** A trace as an agent begins it. */
function newTrace() {
  const [traceId, spanId] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` };
}

const post = (traceparent: string | undefined, tool: string) =>
  send({
    url: `${house.house.url}/mcp`,
    key: house.key("a-1"),
    headers: traceparent === undefined ? {} : { traceparent },
    body: call(1, tool, { canary }),
  });
const arrived = (tool: string) =>
  upstream.requests.find(({ message }) => message?.params?.["name"] === tool)?.headers["traceparent"] as
    string | undefined;
const exported = (traceId: string, service: string) =>
  until(`the span of ${service}`, () => collector.of(traceId, service));

describe("a trace", () => {
  it("goes from the agent through ingress and egress to the upstream, each span the parent of the next", async () => {
    const agent = newTrace();
    expect((await post(agent.traceparent, "traced")).status).toBe(200);
    const [ingress, egress] = [
      await exported(agent.traceId, "sluice-ingress"),
      await exported(agent.traceId, "sluice-egress"),
    ];
    expect(ingress.parentSpanId).toBe(agent.spanId);
    expect(egress.parentSpanId).toBe(ingress.spanId);
    expect(arrived("traced")).toBe(`00-${agent.traceId}-${egress.spanId}-01`);
  });

  it.each([
    ["missing", undefined],
    ["malformed", "00-zz-1-01"],
    ["all zero", `00-${"0".repeat(32)}-${"0".repeat(16)}-01`],
  ])("begins at ingress where the agent's traceparent is %s", async (name, traceparent) => {
    const tool = `begun-${name.replace(" ", "-")}`;
    expect((await post(traceparent, tool)).status).toBe(200);
    const [, traceId = "", spanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(arrived(tool) ?? "") ?? [];
    const [ingress, egress] = [await exported(traceId, "sluice-ingress"), await exported(traceId, "sluice-egress")];
    expect(ingress.parentSpanId ?? "").toBe("");
    expect(egress.parentSpanId).toBe(ingress.spanId);
    expect(egress.spanId).toBe(spanId);
  });

  it("is named in the audit trail and holds nothing of the arguments or the key (A31)", async () => {
    const agent = newTrace();
    await post(agent.traceparent, "audited");
    await exported(agent.traceId, "sluice-egress");
    const rows = await until("the row of the call", async () => {
      const found = await house.query("select target from audit_calls where trace = $1", [agent.traceId]);
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toEqual([{ target: "audited" }]);
    expect(collector.everything).not.toContain(canary);
    expect(collector.everything).not.toContain(house.key("a-1"));
  });

  it("travels between the services in the head of the call", async () => {
    const state = JSON.parse(await readFile(join(house.dataDir, "state.json"), "utf8")) as {
      natsPasswords: { egress: string };
    };
    await using bus = await Bus.connect({
      url: house.house.parts.nats.url,
      service: "egress",
      user: "egress",
      pass: state.natsPasswords.egress,
    });
    const heard: Incoming[] = [];
    bus.listen(subjects.call("mcp"), (message) => void heard.push(message));
    await bus.flush();
    const agent = newTrace();
    await post(agent.traceparent, "overheard");
    const message = await until("the message on the bus", () => heard[0]);
    const ingress = await exported(agent.traceId, "sluice-ingress");
    expect(decodeHeadAndBody<CallHead>(message.data).head.traceparent).toBe(`00-${agent.traceId}-${ingress.spanId}-01`);
  });
});

describe("a failure", () => {
  it("of the upstream marks the spans of its trace as failed", async () => {
    upstream.handler = (_request, response) => void response.destroy();
    const agent = newTrace();
    expect((await post(agent.traceparent, "broken")).status).toBe(502);
    expect((await exported(agent.traceId, "sluice-egress")).status?.code).toBe(2);
    expect((await exported(agent.traceId, "sluice-ingress")).status?.code).toBe(2);
  });

  it("of the platform is logged with its trace id", async () => {
    const [policy] = house.house.of("policy");
    if (policy === undefined) throw new Error("policy does not run");
    policy.endedOnPurpose = true;
    await policy.process.stop();
    const agent = newTrace();
    expect((await post(agent.traceparent, "undecided")).status).toBe(503);
    const line = await until("the log line", async () => {
      const lines = (await house.logs()).split("\n").filter((text) => text.includes(agent.traceId));
      return lines[0];
    });
    expect(JSON.parse(line)).toMatchObject({
      service: "ingress",
      level: "error",
      traceId: agent.traceId,
      kind: "unavailable",
    });
  });
});
