import type { KeptPin, PinListener, ServerPlace } from "@sluice/bus";
import { isQuarantined, type ToolPin } from "@sluice/contracts";

interface Page {
  readonly pins: Map<string, KeptPin>;
  isSeen: boolean;
}

/** The pins of all tools as this replica knows them; the newest of what it hears of each. */
export class PinBook implements PinListener {
  readonly #pages = new Map<string, Page>();
  readonly #onTurn: (place: ServerPlace) => void;

  /** @param onTurn called when a tool that was known goes out of use, or comes back */
  constructor(onTurn: (place: ServerPlace) => void) {
    this.#onTurn = onTurn;
  }

  /** All is told anew, with revisions that may begin anew too; until then what is known holds. */
  onBegin(): void {
    for (const { pins } of this.#pages.values())
      for (const [tool, { pin }] of pins) pins.set(tool, { pin, revision: 0 });
  }

  onPin(place: ServerPlace, kept: KeptPin): void {
    const { pins } = this.#page(place);
    const before = pins.get(kept.pin.tool);
    if (before !== undefined && before.revision >= kept.revision) return;
    pins.set(kept.pin.tool, kept);
    if (before !== undefined && usable(before.pin) !== usable(kept.pin)) this.#onTurn(place);
  }

  onSeen(place: ServerPlace): void {
    this.#page(place).isSeen = true;
  }

  find(place: ServerPlace, tool: string): ToolPin | undefined {
    return this.#pages.get(keyOf(place))?.pins.get(tool)?.pin;
  }

  /** Whether the server's tools were seen as a whole once. */
  isSeen(place: ServerPlace): boolean {
    return this.#pages.get(keyOf(place))?.isSeen === true;
  }

  /** How many tools of each server are out of use. */
  *quarantined(): Iterable<ServerPlace & { tools: number }> {
    for (const [key, { pins }] of this.#pages) {
      const [tenant = "", server = ""] = key.split("\0");
      yield { tenant, server, tools: [...pins.values()].filter(({ pin }) => isQuarantined(pin)).length };
    }
  }

  #page(place: ServerPlace): Page {
    const key = keyOf(place);
    const page = this.#pages.get(key) ?? { pins: new Map<string, KeptPin>(), isSeen: false };
    this.#pages.set(key, page);
    return page;
  }
}

function keyOf({ tenant, server }: ServerPlace): string {
  return `${tenant}\0${server}`;
}

/** Tells whether two pins let the same definitions pass. */
function usable(pin: ToolPin): string {
  if (isQuarantined(pin)) return "";
  const approved = pin.definitions.filter(({ state }) => state === "approved");
  return approved.map(({ hash }) => hash).join();
}
