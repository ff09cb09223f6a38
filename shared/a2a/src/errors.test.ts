import { Fault, type Dialect } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import { answerFor, faultAnswer, type Sides } from "./index.ts";

const rpc10: Dialect = { version: "1.0", binding: "JSONRPC" };
const rpc03: Dialect = { version: "0.3", binding: "JSONRPC" };
const rpc01: Dialect = { version: "0.1", binding: "JSONRPC" };
const rest10: Dialect = { version: "1.0", binding: "HTTP+JSON" };
const rest03: Dialect = { version: "0.3", binding: "HTTP+JSON" };
const info = (reason: string) => ({
  "@type": "type.googleapis.com/google.rpc.ErrorInfo",
  reason,
  domain: "a2a-protocol.org",
});
const told = (dialect: Dialect, fault: Fault) => {
  const { status, contentType, body } = faultAnswer(dialect, fault, "7");
  return { status, contentType, body: JSON.parse(body.toString()) as unknown };
};
const answered = (client: Dialect, upstream: Dialect, status: number, body: unknown) => {
  const sides: Sides = { client, upstream, operation: "GetTask", rpcId: "7" };
  const answer = answerFor(sides, { status, contentType: "application/json", body: Buffer.from(JSON.stringify(body)) });
  return { status: answer.status, body: JSON.parse(answer.body.toString()) as unknown };
};

describe("a fault of the gateway's", () => {
  const unknown = new Fault("task_not_found", "whatever says more", { details: { task: "t" } });

  test("A22 an unknown task and another's are told in one text, whatever the fault knows", () => {
    expect(told(rpc10, unknown)).toEqual({
      status: 200,
      contentType: "application/json",
      body: {
        jsonrpc: "2.0",
        id: 7,
        error: { code: -32001, message: "Task not found", data: [info("TASK_NOT_FOUND")] },
      },
    });
    for (const dialect of [rpc01, rpc03]) {
      expect(told(dialect, unknown).body).toEqual({
        jsonrpc: "2.0",
        id: 7,
        error: { code: -32001, message: "Task not found" },
      });
    }
    expect(told(rest10, unknown)).toEqual({
      status: 404,
      contentType: "application/a2a+json",
      body: { error: { code: 404, status: "NOT_FOUND", message: "Task not found", details: [info("TASK_NOT_FOUND")] } },
    });
    expect(told(rest03, unknown)).toMatchObject({ status: 404, body: { code: -32001, message: "Task not found" } });
    for (const dialect of [rpc10, rpc03, rpc01, rest10, rest03]) {
      expect(faultAnswer(dialect, unknown, "7")).toEqual(
        faultAnswer(dialect, new Fault("task_not_found", "else"), "7"),
      );
    }
  });

  test("of a kind of its own has its status, and the body of seed 001 as data", () => {
    const limited = new Fault("agent_rate_limited", "too many", { details: { retryAfter: 3 } });
    const data = { error: "agent_rate_limited", message: "too many", retryAfter: 3 };
    expect(told(rpc03, limited)).toMatchObject({
      status: 429,
      body: { error: { code: 1429, message: "too many", data } },
    });
    expect(told(rpc10, limited)).toMatchObject({ status: 429, body: { error: { code: 1429, data } } });
    expect(told(rest03, limited)).toMatchObject({ status: 429, body: { code: 1429, message: "too many", data } });
    expect(told(rest10, limited)).toMatchObject({
      status: 429,
      body: {
        error: {
          code: 429,
          status: "RESOURCE_EXHAUSTED",
          details: [{ reason: "AGENT_RATE_LIMITED", domain: "sluice", metadata: { retryAfter: "3" } }],
        },
      },
    });
  });

  test("about a request that is none has status 200 by JSON-RPC, but 400 where it is no JSON; about its type the error that A2A has", () => {
    for (const dialect of [rpc10, rpc03, rpc01]) {
      expect(told(dialect, new Fault("invalid_request", "none"))).toMatchObject({
        status: 200,
        body: { id: 7, error: { code: -32600, message: "none" } },
      });
      expect(told(dialect, new Fault("method_not_found", "none"))).toMatchObject({ status: 200 });
      expect(told(dialect, new Fault("parse_error", "no JSON"))).toMatchObject({
        status: 400,
        body: { error: { code: -32700 } },
      });
      expect(told(dialect, new Fault("unsupported_media_type", "no"))).toMatchObject({
        status: 415,
        body: { error: { code: -32005, message: "no" } },
      });
    }
    expect(told(rest03, new Fault("unsupported_media_type", "no"))).toMatchObject({
      status: 415,
      body: { code: 1415 },
    });
  });

  test("about the version names those that are served", () => {
    const fault = new Fault("version_not_supported", "no", { details: { supported: ["0.3", "1.0"] } });
    expect(told(rpc10, fault)).toMatchObject({
      status: 200,
      body: {
        error: { code: -32009, data: [{ reason: "VERSION_NOT_SUPPORTED", metadata: { supported: "0.3, 1.0" } }] },
      },
    });
    expect(told(rest10, fault)).toMatchObject({ status: 400, body: { error: { status: "FAILED_PRECONDITION" } } });
  });
});

describe("an error of the agent's", () => {
  test.each([
    [-32001, 404, "NOT_FOUND", "TASK_NOT_FOUND"],
    [-32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"],
    [-32005, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"],
    [-32006, 500, "INTERNAL", "INVALID_AGENT_RESPONSE"],
  ])("%i is %i in 1.0's REST, and back", (code, status, name, reason) => {
    const rpc = { jsonrpc: "2.0", id: 7, error: { code, message: "m" } };
    const rest = { error: { code: status, status: name, message: "m", details: [info(reason)] } };
    expect(answered(rest10, rpc03, 200, rpc)).toEqual({ status, body: rest });
    expect(answered(rpc10, rest10, status, rest)).toEqual({
      status: 200,
      body: { ...rpc, error: { ...rpc.error, data: [info(reason)] } },
    });
  });

  test("that only 1.0 has is an invalid request before", () => {
    const error = { code: -32008, message: "m", data: [info("EXTENSION_SUPPORT_REQUIRED")] };
    expect(answered(rpc03, rpc10, 200, { jsonrpc: "2.0", id: 1, error }).body).toMatchObject({
      error: { code: -32600, message: "m" },
    });
  });

  test("keeps the status that only HTTP tells, and what comes with it in whatever form", () => {
    expect(answered(rpc03, rest10, 429, "slow down")).toMatchObject({ status: 429, body: { error: { code: 1429 } } });
    expect(answered(rest03, rest10, 503, { error: { code: 503, message: "later" } })).toMatchObject({ status: 503 });
  });

  test.each([
    ["nothing", {}],
    ["a result that is no task of any kind", { jsonrpc: "2.0", id: 1 }],
    ["an error without a code", { jsonrpc: "2.0", id: 1, error: "no" }],
  ])("that is %s is an upstream's failure", (_what, body) => {
    expect(() => answered(rpc03, rpc10, 200, body)).toThrow(expect.objectContaining({ kind: "upstream_failed" }));
  });
});

test("an answer that is too large to be translated is none, and passes where nothing is to be translated", () => {
  const given = { status: 200, contentType: "application/json", body: Buffer.alloc(8 * 1024 * 1024 + 1, " ") };
  const dialect = (version: "0.3" | "1.0") => ({ version, binding: "JSONRPC" }) as const;
  const to = (version: "0.3" | "1.0"): Sides => ({
    client: dialect(version),
    upstream: dialect("1.0"),
    operation: "GetTask",
  });
  expect(() => answerFor(to("0.3"), given)).toThrow("more than 8 MiB, which is too large to be translated");
  expect(answerFor(to("1.0"), given).body).toBe(given.body);
});
