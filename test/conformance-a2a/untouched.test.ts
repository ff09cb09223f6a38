import { randomUUID } from "node:crypto";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "./agents/agent.ts";

/** What a JSON text may look like and still be the same: spaces, escapes, spellings of numbers, members nobody knows. */
const space = fc.constantFrom("", " ", "\n", "\t ", "\r\n  ");
const escaped = (text: string) =>
  [...text].map((char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`).join("");
const string = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => JSON.stringify(text)),
  fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 8 }).map((text) => `"${escaped(text)}"`),
);
const number = fc.constantFrom("0", "-0", "1.50", "1e3", "1E+3", "12345678901234567890", "0.1000", "-1.0e-7", "1e400");
const value = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    string,
    number,
    fc.constantFrom("true", "false", "null"),
    fc.tuple(fc.array(tie("value"), { maxLength: 3 }), space).map(([all, gap]) => `[${all.join(`${gap},${gap}`)}]`),
    fc
      .tuple(fc.array(fc.tuple(string, tie("value")), { maxLength: 3 }), space)
      .map(
        ([all, gap]) =>
          `{${gap}${all.map(([key, each], at) => `"${at}${key.slice(1)}${gap}:${each}`).join(",")}${gap}}`,
      ),
  ),
})).value;
const members = fc
  .array(fc.tuple(fc.stringMatching(/^[a-z]{1,8}$/), value, space), { maxLength: 4 })
  .map((all) => all.map(([key, each, gap], at) => `,${gap}"x-${at}-${key}"${gap}:${gap}${each}`).join(""));

const sends = {
  "1.0": (more: string) =>
    `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"${randomUUID()}","role":"ROLE_USER","parts":[{"text":"echo a"${more}}]${more}}${more}}${more}}`,
  "0.3": (more: string) =>
    `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"${randomUUID()}","role":"user","parts":[{"kind":"text","text":"echo a"${more}}]${more}}${more}}${more}}`,
  "0.1": (more: string) =>
    `{"jsonrpc":"2.0","id":1,"method":"tasks/send","params":{"id":"${randomUUID()}","message":{"role":"user","parts":[{"type":"text","text":"echo a"${more}}]${more}}${more}}${more}}`,
} as const;
const streamMethods = { "1.0": "SendStreamingMessage", "0.3": "message/stream", "0.1": "tasks/sendSubscribe" } as const;
const sendMethod = /"method":"[^"]+"/;
type Version = keyof typeof sends;
const versions = Object.keys(sends) as Version[];

const agents = {} as Record<Version, ReferenceAgent>;
let house: TestHouse;

beforeAll(async () => {
  for (const version of versions) agents[version] = await startAgent(version);
  const endpoints = versions.map((version) => ({
    name: `v${version.replace(".", "-")}`,
    url: agents[version].jsonRpcUrl,
    version,
  }));
  house = await startTestHouse({ tenants: { acme: { agents: ["a-1"], a2a: { endpoints } } } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  for (const version of versions) await agents[version]?.[Symbol.asyncDispose]();
});

async function ask(version: Version, body: string): Promise<string> {
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "a2a-version": version,
    "x-agent-api-key": house.key("a-1"),
  };
  const url = `${house.house.url}/a2a/v${version.replace(".", "-")}`;
  const answer = await fetch(url, { method: "POST", headers, body });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  return text;
}

const dataOf = (text: string) => [...text.matchAll(/^data: ?(.*)$/gm)].map(([, data]) => data);

/** Puts members that nobody knows at the end of the answer and of what it tells of. */
const adding = (more: string) => (json: string) => json.replace(/\}(\}+)$/, `${more}}$1`).replace(/\}$/, `${more}}`);

describe("between two sides that speak the same", () => {
  it.each(versions)("what no specification of %s knows reaches the other side byte for byte", async (version) => {
    const { ledger } = agents[version];
    const property = fc.asyncProperty(members, members, fc.boolean(), async (asked, answered, isStream) => {
      // An event ends where a line does.
      ledger.rewriteAnswers(adding(isStream ? answered.replaceAll(/[\r\n]/g, " ") : answered));
      const send = sends[version](asked);
      const body = isStream ? send.replace(sendMethod, `"method":"${streamMethods[version]}"`) : send;
      const text = await ask(version, body);
      const exchange = ledger.exchanges.at(-1);
      expect(exchange?.body.toString()).toBe(body);
      const sent = exchange?.answer.body.toString() ?? "";
      if (isStream) expect(dataOf(text)).toEqual(dataOf(sent));
      else expect(text).toBe(sent);
    });
    await fc.assert(property, { numRuns: 200 });
  });
});
