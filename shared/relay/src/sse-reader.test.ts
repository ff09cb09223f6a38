import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SseReader, type SsePiece } from "./sse-reader.ts";

const limit = 64;
const read = (chunks: readonly Buffer[], maxBytes = 1_000_000) => {
  const reader = new SseReader(maxBytes);
  const pieces = chunks.flatMap((chunk) => reader.push(chunk));
  return { pieces, lastId: reader.lastId };
};
const shown = ({ bytes, endsEvent, data }: SsePiece) => ({ text: bytes.toString(), endsEvent, data: data?.toString() });
const cut = (bytes: Buffer, at: readonly number[]): Buffer[] => {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
};

describe("an event stream", () => {
  it.each(["\n", "\r", "\r\n"])(
    "is cut into events at lines that end with %j, ids taken out and comments dropped",
    (end) => {
      const lines = [
        ": hello",
        "event: message",
        "id: 7",
        "data: a",
        "data:b",
        "",
        "data",
        "retry: 10",
        "",
        "data: open",
      ];
      const { pieces, lastId } = read([Buffer.from(lines.join(end))]);
      expect(pieces.map(shown)).toEqual([
        { text: "event: message\ndata: a\ndata:b\n", endsEvent: true, data: "a\nb" },
        { text: "data\nretry: 10\n", endsEvent: true, data: "" },
      ]);
      expect(lastId).toBe("7");
    },
  );

  it("reads the same however the network cuts it", () => {
    const line = fc.oneof(
      fc.constantFrom("", "", "id: 1", "id", ": note", "data", "data: x", "data:é", "event: e", "retry: 5", "other"),
      fc.string({ maxLength: 8 }).map((text) => text.replaceAll(/[\r\n]/g, " ")),
    );
    const stream = fc.array(fc.tuple(line, fc.constantFrom("\n", "\r", "\r\n")), { maxLength: 30 });
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), (parts, places) => {
        const bytes = Buffer.from(parts.flat().join(""));
        const whole = read([bytes]);
        const pieces = read(cut(bytes, places));
        expect(pieces.pieces.map(shown)).toEqual(whole.pieces.map(shown));
        expect(pieces.lastId).toBe(whole.lastId);
      }),
    );
  });

  it("may begin with a byte order mark", () => {
    expect(
      read([Buffer.from([0xef]), Buffer.from([0xbb, 0xbf]), Buffer.from("data: a\n\n")]).pieces.map(shown),
    ).toEqual([{ text: "data: a\n", endsEvent: true, data: "a" }]);
  });

  it.each([limit, 1_000_000])("may begin with a byte order mark, however long the line after it (%i)", (maxBytes) => {
    const text = `data: ${"x".repeat(1_000)}\n`;
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 12 }), (places) => {
        const { pieces } = read(cut(Buffer.from(`\uFEFF${text}\n`), places), maxBytes);
        expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).toString()).toBe(text);
      }),
    );
    expect(() => read([Buffer.from("\uFEFFid: "), Buffer.alloc(5_000, "7")])).toThrow(/id of more than/);
  });

  it("gives out a long event in pieces that together are the event, whatever the cuts", () => {
    const event = `event: e\ndata: ${"x".repeat(1_000)}\ndata: ${"y".repeat(300)}\n`;
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), (places) => {
        const { pieces } = read(cut(Buffer.from(`${event}\ndata: next\n\n`), places), limit);
        const first = pieces.findIndex(({ endsEvent }) => endsEvent);
        const text = Buffer.concat(pieces.slice(0, first + 1).map(({ bytes }) => bytes)).toString();
        expect(text).toBe(event);
        expect(pieces.at(-1)?.bytes.toString()).toBe("data: next\n");
      }),
    );
  });

  it("has its ids remembered byte for byte, but for those that no header field can hold", () => {
    const idAfter = (line: Buffer | string) =>
      read([Buffer.from("id: 1\n"), Buffer.from(line), Buffer.from("\n")]).lastId;
    expect(Buffer.from(idAfter("id: \u2713\u00e9") ?? "", "latin1").toString()).toBe("\u2713\u00e9");
    for (const bad of ["\0", "\u0001", "\u007f"]) expect(idAfter(`id: a${bad}b`)).toBe("1");
  });

  it("with an id that is too long to be sent back is refused, ended or not", () => {
    for (const end of ["", "\n"]) {
      expect(() => read([Buffer.from("i"), Buffer.from(`d: ${"7".repeat(5_000)}${end}`)])).toThrow(/id of more than/);
    }
  });

  it("is read in one pass, also without any end of a line, and with nothing but ends", () => {
    const chunk = Buffer.alloc(16 * 1024, "x");
    const chunks = Array.from({ length: 2_000 }, () => chunk);
    const pieces = read([Buffer.from("data: "), ...chunks], 64 * 1024 * 1024).pieces;
    expect(pieces).toEqual([]);
    expect(read([Buffer.alloc(4 * 1024 * 1024, "\r")]).pieces).toEqual([]);
  });
});
