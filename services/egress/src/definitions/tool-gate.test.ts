import {
  decodeJson,
  encodeJson,
  Fault,
  type Observation,
  type PinState,
  type ToolDefinitions,
} from "@sluice/contracts";
import { createLog } from "@sluice/telemetry";
import { describe, expect, it, vi } from "vitest";
import { definitionIn, definitionOf } from "./definition.ts";
import { PinBook } from "./pin-book.ts";
import { ToolGate } from "./tool-gate.ts";

const place = { tenant: "t", server: "s" };
const read = definitionOf("read", { name: "read", description: "Reads" });
const changed = definitionOf("read", { name: "read", description: "Reads, and tells" });

/** A gate whose control says this of everything that it is told. */
function gateWith(mode: ToolDefinitions, control: PinState | "away" = "approved") {
  const turned = vi.fn<() => void>();
  const book = new PinBook(turned);
  const asked: Observation[] = [];
  let revision = 10;
  const state = { control };
  const ask = (_subject: string, payload: Uint8Array) => {
    const observation = decodeJson<Observation>(payload);
    asked.push(observation);
    if (state.control === "away") return Promise.reject(new Fault("unavailable", "nobody answers"));
    const pins = observation.definitions.map(({ tool, hash }) => ({
      revision: revision++,
      pin: { tool, definitions: [{ hash, state: state.control as PinState, seenAt: 0 }] },
    }));
    return Promise.resolve({ data: encodeJson({ pins }), subject: "", reply: undefined, headers: undefined });
  };
  const bus = { ask: ask as unknown as ConstructorParameters<typeof ToolGate>[0]["bus"]["ask"] };
  const gate = new ToolGate({ bus, book, log: createLog("test", "fatal"), modeOf: () => mode });
  const list = async () => ({
    fetchedAt: Date.now(),
    ...(await gate.inspect(place, [read], { isWhole: true })),
  });
  return { gate, book, asked, turned, list, state };
}

describe("a definition", () => {
  it("is the same however it is written, and another as soon as anything of it is", () => {
    const spelled = definitionIn("read", Buffer.from('{ "description":"\\u0052eads",\n"name":"read" }'));
    expect(spelled.hash).toBe(read.hash);
    for (const other of [
      '{"name":"read","description":"Reads "}',
      '{"name":"read","description":"Reads","_meta":{}}',
      '{"name":"read","description":"Rеads"}',
      '{"name":"read","description":"Reads","title":"Reads"}',
    ])
      expect(definitionIn("read", Buffer.from(other)).hash).not.toBe(read.hash);
  });

  it("nested too deep is refused as the upstream's failure", () => {
    const deep = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`;
    expect(() => definitionIn("deep", Buffer.from(deep))).toThrow(Fault);
  });
});

describe("the gate", () => {
  it("lets a tool pass whose definition is approved, asking control once", async () => {
    const { gate, asked, list } = gateWith("pinned");
    expect(await gate.requireUsable(place, "read", list)).toBe(read.hash);
    expect(await gate.requireUsable(place, "read", list)).toBe(read.hash);
    expect(asked).toMatchObject([{ tenant: "t", server: "s", isWhole: true, trustsFirstSight: true }]);
  });

  it("keeps out what waits, what is not listed, and what was decided against elsewhere", async () => {
    const { gate, book, list, turned } = gateWith("approved", "pending");
    await expect(gate.requireUsable(place, "read", list)).rejects.toThrow(/waits for approval/);
    await expect(gate.requireUsable(place, "write", list)).rejects.toThrow(/not listed/);
    expect(gate.shows(place, "read", [read.hash])).toBe(false);
    const definitions = [{ hash: read.hash, state: "approved" as const, seenAt: 0 }];
    book.onPin(place, { revision: 100, pin: { tool: "read", definitions } });
    expect(turned).toHaveBeenCalledTimes(1);
    expect(await gate.requireUsable(place, "read", list)).toBe(read.hash);
    const waiting = { hash: changed.hash, state: "pending" as const, seenAt: 0 };
    book.onPin(place, { revision: 101, pin: { tool: "read", definitions: [...definitions, waiting] } });
    expect(turned, "what is kept of lists is looked at again").toHaveBeenCalledTimes(2);
    expect(gate.shows(place, "read", [changed.hash])).toBe(false);
    expect(gate.shows(place, "read", [read.hash, changed.hash])).toBe(false);
    expect(await gate.requireUsable(place, "read", list), "who is shown what is approved").toBe(read.hash);
    const gone = [{ hash: read.hash, state: "rejected" as const, seenAt: 0 }];
    book.onPin(place, { revision: 102, pin: { tool: "read", definitions: gone } });
    book.onPin(place, { revision: 101, pin: { tool: "read", definitions } });
    expect(gate.shows(place, "read", [read.hash]), "what is older is not heeded").toBe(false);
  });

  it("lists anew for a tool that it does not know, unless it did a moment ago", async () => {
    const { gate, list } = gateWith("pinned");
    const lists: boolean[] = [];
    const oldOnes = async (isAnew: boolean) => {
      lists.push(isAnew);
      return isAnew ? await list() : { hashes: new Map<string, string[]>(), fetchedAt: 0 };
    };
    expect(await gate.requireUsable(place, "read", oldOnes)).toBe(read.hash);
    expect(lists).toEqual([false, true]);
  });

  it("without control: what is known goes on, what is new is out of use, and a server never seen cannot be used", async () => {
    const { gate, state, asked, list } = gateWith("pinned", "away");
    await expect(gate.requireUsable(place, "read", list)).rejects.toThrow(/could not be checked/);
    state.control = "approved";
    await gate.requireUsable(place, "read", list);
    state.control = "away";
    expect(await gate.inspect(place, [changed], { isWhole: true })).toMatchObject({ isCertain: false });
    expect(await gate.inspect(place, [changed], { isWhole: true })).toMatchObject({ isCertain: false });
    expect(asked, "control that is away is left in peace").toHaveLength(3);
    expect(gate.shows(place, "read", [changed.hash])).toBe(false);
    expect(gate.shows(place, "read", [read.hash])).toBe(true);
  });

  it("of an endpoint that only warns tells control and keeps nothing out", async () => {
    const { gate, asked } = gateWith("warn", "pending");
    await gate.inspect(place, [read], { isWhole: false });
    expect(asked).toHaveLength(1);
    expect(gate.shows(place, "read", [read.hash])).toBe(true);
    expect(gate.enforces(place)).toBe(false);
  });
});
