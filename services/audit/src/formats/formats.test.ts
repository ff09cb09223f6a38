import { CloudEvent } from "cloudevents";
import { describe, expect, test } from "vitest";
import type { AuditRecord } from "@sluice/contracts";
import { call, hostile, records, settings } from "./hostile-records.ts";
import { formats } from "./index.ts";

const written = (format: keyof typeof formats, record: AuditRecord, more: Partial<typeof settings> = {}) =>
  formats[format]({ ...settings, ...more }).write(record);
const json = (format: keyof typeof formats, record: AuditRecord, more: Partial<typeof settings> = {}) =>
  JSON.parse(written(format, record, more)) as Record<string, unknown>;

describe.each(Object.keys(formats) as (keyof typeof formats)[])("%s", (format) => {
  test("A31: each record is one line, whatever is in it: no CR, LF or other control character of a value is left", () => {
    for (const record of records)
      // oxlint-disable-next-line no-control-regex
      expect(written(format, record)).not.toMatch(/[\u0000-\u001f\u007f]/);
  });

  test("holds the id that a record is known by when it comes twice, its log and its index", () => {
    for (const record of records)
      for (const word of [record.id, record.log, String(record.index)]) expect(written(format, record)).toContain(word);
  });

  test("takes a value of a megabyte", () => {
    expect(written(format, { ...call, target: "x".repeat(1 << 20) }).length).toBeGreaterThan(1 << 20);
  });
});

describe("structured JSON", () => {
  test("has the names of seed 001, with captured fields beside them; none of those stands in for what the gateway says", () => {
    const event = json("structured-json", call);
    expect(event).toMatchObject({
      ...{ agentId: "sentinel-1", agentName: hostile, agentOwner: "team", protocolMethod: "tools/call" },
      ...{ toolName: "echo", toolError: false, messageKind: "text", timestamp: call.timestamp, correlationId: "c1" },
      ...{ duration: 12.5, requestPath: "/mcp/tools/call" },
      captured: { agentId: "somebody-else", correlationId: "mine" },
    });
    expect(Object.getPrototypeOf(event)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("lets no captured field stand where the gateway says something of other records", () => {
    const event = json("structured-json", { ...call, captured: { operator: "root", rule: "mine", city: "Turin" } });
    expect(event).toMatchObject({ city: "Turin", captured: { operator: "root" } });
    expect(event).not.toHaveProperty("operator");
  });

  test("leaves out what eventFormat leaves out, and lets no captured field take its place", () => {
    const event = json("structured-json", call, {
      ...{ includeTimestamp: false, includeCorrelationId: false, includeDuration: false, includeRequestPath: false },
    });
    for (const name of ["timestamp", "correlationId", "duration", "requestPath"])
      expect(event).not.toHaveProperty(name);
    expect(event).toMatchObject({ agentId: "sentinel-1", captured: { correlationId: "mine" } });
  });
});

test("CloudEvents: each is valid by the SDK of the CNCF, its id and source stay the same, and its data is the structured form", () => {
  for (const record of records) {
    const event = json("cloudevents", record);
    const parsed = new CloudEvent(event, true);
    expect(parsed.validate()).toBe(true);
    expect(parsed).toMatchObject({ specversion: "1.0", id: record.id, source: "/sluice/acme", time: record.timestamp });
    expect(parsed.type).toBe(`sluice.audit.${record.type}.v1`);
    expect(parsed.data).toEqual(json("structured-json", record));
  }
  expect(formats.cloudevents(settings).batchType).toBe("application/cloudevents-batch+json");
});

/** Reads a line by the rules of the format, without the code that wrote it. */
function readCef(line: string) {
  const parts = line.match(/(?:\\.|[^|\\])*(?:\||$)/gs) ?? [];
  const header = parts.slice(0, 7).map((part) => part.replace(/\|$/, "").replaceAll(/\\([\\|])/g, "$1"));
  const extension = line.slice(parts.slice(0, 7).join("").length);
  const fields = [...extension.matchAll(/(?:^| )([A-Za-z0-9]+)=((?:\\.|[^=\\])*)(?= [A-Za-z0-9]+=|$)/gs)].map(
    ([, key = "", value = ""]) =>
      [key, value.replaceAll(/\\([\\=rn])/g, (_, mark: string) => ({ r: "\r", n: "\n" })[mark] ?? mark)] as const,
  );
  return { header, fields: Object.fromEntries(fields) as Record<string, string> };
}

describe("CEF", () => {
  test("a hostile value ends no field: what a reader gets is what it was, but for control characters", () => {
    const { header, fields } = readCef(written("cef", { ...call, protocolMethod: hostile, target: hostile }));
    const neutral = hostile.toWellFormed().replaceAll(/[\u0000\u001b\u2028]/g, " ");
    expect(header).toEqual(["CEF:0", "Sluice", "Sluice", "1", "call.allow", neutral.replace("\r\n", "  "), "2"]);
    expect(fields).toMatchObject({
      suid: "sentinel-1",
      cs3Label: "target",
      cs3: neutral,
      requestClientApplication: neutral,
    });
  });

  test("what was refused is more severe than what was done", () => {
    const severity = (record: AuditRecord) => Number(readCef(written("cef", record)).header[6]);
    expect(severity(call)).toBeLessThan(severity({ ...call, status: 502 }));
    expect(severity({ ...call, status: 502 })).toBeLessThan(severity({ ...call, decision: "deny" }));
  });
});
