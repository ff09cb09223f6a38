import { randomBytes } from "node:crypto";
import { decodeJson, encodeJson, type Observation } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { definitionOf } from "./definition.ts";
import { observe } from "./observations.ts";

async function told(descriptions: readonly string[], isWhole = true) {
  const questions: { bytes: number; observation: Observation }[] = [];
  const seen: unknown[] = [];
  const ask = (_subject: string, payload: Uint8Array) => {
    questions.push({ bytes: payload.length, observation: decodeJson<Observation>(payload) });
    return Promise.resolve({ data: encodeJson({ pins: [] }) });
  };
  const definitions = descriptions.map((description, index) => definitionOf(`t${index}`, { description }));
  await observe(
    { bus: { ask: ask as never }, book: { onPin: () => {}, onSeen: (place) => void seen.push(place) } },
    { tenant: "t", server: "s" },
    { definitions, isWhole, trustsFirstSight: true, timeoutMs: 1 },
  );
  return { questions, seen };
}

const mebibyte = 1024 ** 2;

describe("what control is told", () => {
  it("fits messages, whose last one says that this is all", async () => {
    const texts = Array.from({ length: 40 }, () => randomBytes(60_000).toString("base64"));
    const { questions, seen } = await told([...texts, ...Array.from({ length: 400 }, () => "short")]);
    expect(questions.flatMap(({ observation }) => observation.definitions)).toHaveLength(440);
    for (const { bytes } of questions) expect(bytes).toBeLessThan(0.9 * mebibyte);
    expect(questions.map(({ observation }) => observation.isWhole)).toEqual(
      questions.map((_, index) => index === questions.length - 1),
    );
    expect(seen).toHaveLength(1);
  });

  it("is the hash alone of what is too large to be kept", async () => {
    const { questions } = await told([randomBytes(mebibyte).toString("base64"), "x".repeat(4 * mebibyte)]);
    const [large, small] = questions.flatMap(({ observation }) => observation.definitions);
    expect(large?.text).toBeUndefined();
    expect(small?.text?.length).toBeLessThan(50_000);
  });

  it("is that a server has no tools, too", async () => {
    const { questions, seen } = await told([]);
    expect(questions.map(({ observation }) => [observation.isWhole, observation.definitions.length])).toEqual([
      [true, 0],
    ]);
    expect(seen).toHaveLength(1);
  });
});
