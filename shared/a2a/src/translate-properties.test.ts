import { Fault, a2aOperations, type A2aOperation, type Dialect } from "@sluice/contracts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answerFor, eventsFor, observeAnswer, observeEvent, requestFor, type Sides } from "./index.ts";

const rpc10: Dialect = { version: "1.0", binding: "JSONRPC" };
const rest10: Dialect = { version: "1.0", binding: "HTTP+JSON" };
const rest03: Dialect = { version: "0.3", binding: "HTTP+JSON" };
const rpc03: Dialect = { version: "0.3", binding: "JSONRPC" };
const rpc01: Dialect = { version: "0.1", binding: "JSONRPC" };
const dialects = [rpc10, rest10, rpc03, rest03, rpc01, { version: "0.2", binding: "JSONRPC" } as const];

const id = fc.string({ minLength: 1, maxLength: 12 });
const some = { requiredKeys: ["parts", "role", "messageId"] as const };
const metadata = fc
  .dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { minKeys: 1, maxKeys: 3 })
  .filter((given) => !Object.hasOwn(given, "data_part_compat"));
const about = { metadata, filename: id, mediaType: id };
const optional: { requiredKeys: [] } = { requiredKeys: [] };
const file = fc.record(about, optional);
const part = fc.oneof(
  fc.tuple(fc.record({ text: fc.string() }), file),
  fc.tuple(fc.record({ raw: fc.base64String() }), file),
  fc.tuple(fc.record({ url: fc.webUrl() }), file),
  fc.tuple(fc.record({ data: fc.jsonValue({ maxDepth: 2 }) }), fc.record({ metadata }, optional)),
);
const parts = fc.array(
  part.map(([content, more]) => ({ ...content, ...more })),
  { maxLength: 4 },
);
const message = fc.record(
  {
    messageId: id,
    role: fc.constantFrom("ROLE_USER", "ROLE_AGENT"),
    parts,
    contextId: id,
    taskId: id,
    metadata,
    extensions: fc.array(fc.webUrl(), { minLength: 1, maxLength: 2 }),
    referenceTaskIds: fc.array(id, { minLength: 1, maxLength: 2 }),
    unheardOf: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: [...some.requiredKeys] },
);
const state = fc.constantFrom(
  ...[
    "SUBMITTED",
    "WORKING",
    "COMPLETED",
    "FAILED",
    "CANCELED",
    "INPUT_REQUIRED",
    "REJECTED",
    "AUTH_REQUIRED",
    "UNSPECIFIED",
  ].map((each) => `TASK_STATE_${each}`),
);
const timestamp = fc.constantFrom(
  "2025-01-02T03:04:05Z",
  "2025-01-02T03:04:05.123456789Z",
  "2025-01-02T03:04:05+02:00",
);
const status = fc.record({ state, message, timestamp }, { requiredKeys: ["state"] });
const artifact = fc.record(
  { artifactId: id, parts, name: id, description: id, metadata },
  { requiredKeys: ["artifactId", "parts"] },
);
const task = fc.record(
  {
    id,
    contextId: id,
    status,
    artifacts: fc.array(artifact, { maxLength: 3 }),
    history: fc.array(message, { maxLength: 3 }),
    metadata,
    unheardOf: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: ["id", "contextId", "status"] },
);
const event = fc.oneof(
  task.map((each) => ({ task: each })),
  message.map((each) => ({ message: each })),
  fc.record({ taskId: id, contextId: id, status, metadata }).map((each) => ({ statusUpdate: each })),
  fc
    .record({ taskId: id, contextId: id, artifact, append: fc.boolean(), lastChunk: fc.boolean() })
    .map((each) => ({ artifactUpdate: each })),
);

const sides = (client: Dialect, upstream: Dialect, operation: A2aOperation): Sides => ({
  client,
  upstream,
  operation,
  rpcId: "1",
});
const bodyOf = (dialect: Dialect, result: unknown) =>
  Buffer.from(JSON.stringify(dialect.binding === "JSONRPC" ? { jsonrpc: "2.0", id: 1, result } : result));
const resultOf = (dialect: Dialect, body: Buffer) => {
  const parsed = JSON.parse(body.toString()) as Record<string, unknown>;
  return dialect.binding === "JSONRPC" ? parsed["result"] : parsed;
};
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const answer = (body: Buffer) => ({ status: 200, contentType: "application/json", body });
const kindOfThrown = async (work: () => unknown) => {
  try {
    await work();
    return "nothing";
  } catch (thrown) {
    return thrown instanceof Fault ? "fault" : thrown;
  }
};

describe("there and back", () => {
  test.each([rpc03, rest03, rest10])("a task of 1.0 by $version $binding is the same", (middle) => {
    fc.assert(
      fc.property(task, (given) => {
        const there = answerFor(sides(middle, rpc10, "GetTask"), answer(bodyOf(rpc10, given)));
        const back = answerFor(sides(rpc10, middle, "GetTask"), there);
        expect(resultOf(rpc10, back.body)).toEqual(plain(given));
      }),
    );
  });

  test.each([rpc03, rest03, rest10])("an event of 1.0 by $version $binding is the same", (middle) => {
    fc.assert(
      fc.property(event, (given) => {
        const [there] = eventsFor(sides(middle, rpc10, "SubscribeToTask"), bodyOf(rpc10, given));
        const [back] = eventsFor(sides(rpc10, middle, "SubscribeToTask"), there as Buffer);
        expect(resultOf(rpc10, back as Buffer)).toEqual(plain(given));
      }),
    );
  });

  test.each([rpc03, rest03, rest10])(
    "a send of 1.0 by $version $binding is the same, with what it means by default",
    (middle) => {
      const configuration = fc.record(
        { acceptedOutputModes: fc.array(id), historyLength: fc.nat(), returnImmediately: fc.boolean() },
        optional,
      );
      fc.assert(
        fc.property(fc.record({ message, configuration, metadata }), (params) => {
          const asked = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params }));
          const there = requestFor(sides(rpc10, middle, "SendMessage"), { http: "POST", rest: "", body: asked });
          const back = requestFor(sides(middle, rpc10, "SendMessage"), there);
          const { params: told } = JSON.parse(back.body.toString()) as { params: Record<string, unknown> };
          const wanted =
            middle === rest10
              ? params
              : { ...params, configuration: { returnImmediately: false, ...params.configuration } };
          expect(told).toEqual(plain(wanted));
        }),
      );
    },
  );

  test("a task of 1.0 by 0.1 keeps its parts, its artifacts' ids and its ids", () => {
    fc.assert(
      fc.property(task, (given) => {
        const there = answerFor(sides(rpc01, rpc10, "GetTask"), answer(bodyOf(rpc10, given)));
        const back = resultOf(rpc10, answerFor(sides(rpc10, rpc01, "GetTask"), there).body) as typeof given;
        expect(back.artifacts).toEqual(plain(given).artifacts);
        expect([back.id, back.contextId]).toEqual([given.id, given.contextId]);
        expect(back.metadata).toEqual(given.metadata && plain(given.metadata));
        expect(back.history?.map((each) => each.parts)).toEqual(plain(given).history?.map((each) => each.parts));
      }),
    );
  });
});

describe("hostile or broken", () => {
  const pair = fc.tuple(fc.constantFrom(...dialects), fc.constantFrom(...dialects), fc.constantFrom(...a2aOperations));

  test("documents end in a fault or not at all", async () => {
    const odd = fc.oneof(
      fc.json(),
      event.map((given) => JSON.stringify(given)),
      fc.jsonValue({ maxDepth: 2 }).map((result) => JSON.stringify({ jsonrpc: "2.0", id: 1, result, params: result })),
      fc.jsonValue({ maxDepth: 2 }).map((inner) =>
        JSON.stringify({
          jsonrpc: "2.0",
          id: 1,
          result: { task: inner, status: inner, parts: inner, message: inner, kind: inner },
        }),
      ),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(
        pair,
        odd,
        fc.constantFrom(200, 404, 500),
        async ([client, upstream, operation], text, status_) => {
          const given = sides(client, upstream, operation);
          const body = Buffer.from(text);
          const works = [
            () =>
              requestFor(given, { http: "POST", rest: client.binding === "JSONRPC" ? "" : "/tasks/7:cancel", body }),
            () => answerFor(given, { ...answer(body), status: status_ }),
            () => eventsFor(given, body),
            () => observeAnswer(upstream, operation, answer(body)),
            () => observeEvent(upstream, body),
          ];
          for (const work of works) expect(["nothing", "fault"]).toContain(await kindOfThrown(work));
        },
      ),
      { numRuns: 300 },
    );
  });

  test("nesting that is too deep ends in a fault", async () => {
    const deep = `{"jsonrpc":"2.0","id":1,"result":{"id":"t","status":{"state":"x"},"metadata":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}}`;
    expect(await kindOfThrown(() => answerFor(sides(rpc03, rpc10, "GetTask"), answer(Buffer.from(deep))))).toBe(
      "fault",
    );
  });

  test("names of JavaScript's own are members like others, and change nothing", () => {
    const evil = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
    const text = `{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t","contextId":"c","__proto__":{"polluted":true},"metadata":${evil},"status":{"state":"__proto__","__proto__":{"state":"completed"}},"artifacts":[{"artifactId":"a","__proto__":{"x":1},"parts":[{"kind":"data","data":${evil}}]}]}}`;
    for (const client of [rpc10, rest10, rest03, rpc01]) {
      const told = answerFor(sides(client, rpc03, "GetTask"), answer(Buffer.from(text))).body.toString();
      expect(told.split('"polluted":true').length).toBe(text.split('"polluted":true').length);
      expect(told).toContain(evil);
      expect(told).toMatch(/"state":"(?:unknown|TASK_STATE_UNSPECIFIED)"/);
    }
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("numbers stay as they were written", () => {
    const text =
      '{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t","contextId":"c","status":{"state":"working"},"metadata":{"n":12345678901234567890,"x":1.10,"e":1e400}}}';
    const told = answerFor(sides(rest10, rpc03, "GetTask"), answer(Buffer.from(text))).body.toString();
    expect(told).toContain('"n":12345678901234567890');
    expect(told).toContain('"e":1e400');
  });
});
