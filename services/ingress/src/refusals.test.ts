import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { AuditLog } from "@sluice/bus";
import { expect, it } from "vitest";
import { UnknownCallers } from "./refusals.ts";

it.each([
  ["CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 405, "method_not_allowed"],
  ["POST / HTTP/1.1\r\nHost: x\r\nExpect: foo\r\nContent-Length: 0\r\n\r\n", 417, "expectation_failed"],
])("what node would answer by itself is refused and counted: %j", async (head, status, fault) => {
  const told: unknown[] = [];
  const audit = { add: (event: unknown) => void told.push(event) } as unknown as AuditLog;
  const callers = new UnknownCallers(audit, { everyMs: 60_000, instance: "i1" });
  const server = createServer(() => expect.unreachable()).listen(0, "127.0.0.1");
  callers.watch(server);
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.write(head);
  let answer = "";
  for await (const part of socket) answer += String(part);
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  callers[Symbol.dispose]();
  expect(told).toMatchObject([{ event: "refusals", status, fault, peer: "127.0.0.1", count: 1 }]);
  server.close();
});
