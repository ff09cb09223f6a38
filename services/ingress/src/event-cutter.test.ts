import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventCutter } from "./event-cutter.ts";

const stream = Buffer.from(
  [
    "id: i0.1\ndata: \n\n",
    'event: message\ndata: {"n":1}\nid: i0.2\n\n',
    ": \n\n",
    'data: {"text":"ü€😀",\ndata:"more": true}\nid: i0.3\n\n',
    "retry: 5\n\n",
    'data:{"n":3}\n\n',
  ].join(""),
);
const expected = ['{"n":1}', '{"text":"ü€😀",\n"more": true}', '{"n":3}'];

describe("EventCutter", () => {
  it("gives the data of each event once and whole, wherever the chunks end", () => {
    const cuts = fc.array(fc.nat(stream.length), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (places) => {
        const cutter = new EventCutter();
        const ends = [...places.toSorted((a, b) => a - b), stream.length];
        const messages = ends.flatMap((end, index) => cutter.push(stream.subarray(ends[index - 1] ?? 0, end)));
        expect(messages.map(String)).toEqual(expected);
        expect([cutter.lastId, cutter.held]).toEqual(["i0.3", 0]);
      }),
    );
  });

  it("tells what it holds of an event that has not ended", () => {
    const cutter = new EventCutter();
    cutter.push(Buffer.from("data: 12345\ndata: 678"));
    expect(cutter.held).toBe(5 + "data: 678".length);
    expect(cutter.push(Buffer.from("9\n\n")).map(String)).toEqual(["12345\n6789"]);
  });
});
