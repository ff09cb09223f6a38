import { createHash } from "node:crypto";
import { Captures } from "@sluice/capture";
import type { CallHead } from "@sluice/contracts";
import { expect, it } from "vitest";
import { AnswerRecord } from "./answer-record.ts";
import { ContentBudget, HeldContent } from "./held-content.ts";

const head = { method: "tools/call" } as CallHead;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const answerOf = (result: string) => Buffer.from(`{"jsonrpc":"2.0","id":1,"result":${result}}`);
const wanting = (record: AnswerRecord, most = 1_000) => {
  const captures = new Captures([{ jsonPath: "$.result.n", as: "n" }]);
  record.want({ captures, hold: () => new HeldContent(new ContentBudget(), most) });
  return record;
};
const contentOf = (record: AnswerRecord) => {
  const { data = "", bytes } = record.takeContent() ?? {};
  return [Buffer.from(data, "base64").toString(), bytes];
};

it("of a stream the last event that answers is on record, and all events are content", () => {
  const record = wanting(new AnswerRecord());
  const [first, notice, last] = [answerOf('{"n":1}'), Buffer.from('{"method":"m"}'), answerOf('{"n": 2}')];
  record.event(first, true);
  record.event(notice);
  record.event(last, true);
  expect(record.end(head)).toEqual({ resultHash: sha256('{"n": 2}'), captured: { n: 2 } });
  const text = [first, notice, last].map((data) => `${data.toString()}\n`).join("");
  expect(contentOf(record)).toEqual([text, text.length]);
});

it("an answer in parts has the digest of all of it, whatever its parts are", () => {
  const record = wanting(new AnswerRecord(), 4);
  for (const part of ["abc", "def", "g"]) record.part(Buffer.from(part));
  expect(record.end(head)).toEqual({ resultHash: sha256("abcdefg"), captured: { $skipped: "too_large" } });
  expect(contentOf(record)).toEqual(["abcd", 7]);
});

it("an answer goes on record in its client's words", () => {
  const record = wanting(new AnswerRecord());
  record.translate((data, { status }) => [answerOf(`{"n":${data.length + (status ?? 0)}}`)]);
  record.writtenIn({ status: 200 });
  record.whole(Buffer.from("abc"));
  expect(record.end(head)).toEqual({ resultHash: sha256('{"n":203}'), captured: { n: 203 } });
});

it("what can't be told in the client's words is told by its size alone", () => {
  const record = wanting(new AnswerRecord());
  record.translate(() => {
    throw new RangeError("too large");
  });
  record.whole(Buffer.from("abc"));
  expect(record.end(head)).toEqual({ captured: { $skipped: "too_large" } });
  expect(contentOf(record)).toEqual(["", 3]);
});

it("nothing is on record of an answer that is empty, or that the client got from elsewhere", () => {
  const empty = wanting(new AnswerRecord());
  empty.whole(Buffer.alloc(0));
  expect(empty.end(head)).toEqual({});
  const elsewhere = new AnswerRecord();
  elsewhere.leaveOut();
  elsewhere.whole(answerOf("1"));
  expect(elsewhere.end(head)).toEqual({});
});
