import type { Dialect } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { BadEvent, eventsOf, mostEventBytes } from "./watch-events.ts";

const rpc: Dialect = { version: "1.0", binding: "JSONRPC" };

async function read(text: string | Iterable<Buffer>, rpcId: string | undefined = "1") {
  async function* source() {
    const chunks = typeof text === "string" ? [Buffer.from(text)] : text;
    for (const chunk of chunks) yield await Promise.resolve(chunk);
  }
  const events = [];
  for await (const { lines, observed } of eventsOf(source(), { dialect: rpc, rpcId }))
    events.push({ lines: lines.toString(), observed });
  return events;
}
const status =
  '{"jsonrpc":"2.0","id":1,"result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_WORKING"}}}}';

describe("eventsOf", () => {
  it("gives each event with its lines as they came, but for ids, comments and a name that is empty", async () => {
    const stream = `id: 9\nevent:\ndata: ${status}\n\n: ping\n\ndata: \n\nevent: message\ndata: ${status}\n\n`;
    const events = await read(stream);
    expect(events.map(({ lines }) => lines)).toEqual([`data: ${status}\n`, `event: message\ndata: ${status}\n`]);
    expect(events[0]?.observed).toMatchObject({ kind: "statusUpdate", task: "t", state: "TASK_STATE_WORKING" });
  });

  it.each([
    ["no JSON", "{nothing"],
    ["another request's answer", status.replace('"id":1', '"id":"1"')],
    ["a request", '{"jsonrpc":"2.0","id":1,"method":"x"}'],
    ["a list", "[1]"],
  ])("A40: refuses %s", async (_what, data) => {
    await expect(read(`data: ${data}\n\n`)).rejects.toBeInstanceOf(BadEvent);
  });

  it("A40: refuses an event without an end when it is too large, however it comes", async () => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    let sent = 0;
    function* endless() {
      yield Buffer.from("data: ");
      for (;;) {
        sent += chunk.length;
        yield chunk;
      }
    }
    await expect(read(endless())).rejects.toBeInstanceOf(BadEvent);
    expect(sent).toBeLessThan(mostEventBytes + 2 * chunk.length);
  });
});
