import { Fault, type CallHead } from "@sluice/contracts";
import type { Principals } from "../principals.ts";
import { readState, writeState, type SessionState } from "./session-state.ts";
import type { Turns } from "./turns.ts";

export interface KeptStateOptions {
  readonly principals: Pick<Principals, "findSession" | "updateSession">;
  readonly turns: Turns;
  readonly head: CallHead;
  /** The session's. */
  readonly name: string;
  readonly text: string;
}

/** Other replicas may change a session at the same time; in this one its changes wait for each other. */
const maxTries = 50;

/** What session-manager keeps of a session, as far as is known here. */
export class KeptState {
  readonly #options: KeptStateOptions;
  #text: string;
  state: SessionState;

  constructor(options: KeptStateOptions) {
    this.#options = options;
    this.#text = options.text;
    this.state = readState(options.text);
  }

  /** Applies a change, whatever other calls change meanwhile. @throws Fault `session_not_found` where the session is over. */
  async update(change: (state: SessionState) => SessionState): Promise<void> {
    const { turns, name, principals, head } = this.#options;
    await turns.inTurn(name, async () => {
      for (let tries = 0; tries < maxTries; tries++) {
        const next = change(this.state);
        if (next === this.state) return;
        const text = writeState(next);
        const asked = { session: name, expected: this.#text, upstreamSession: text };
        const { ok, upstreamSession: kept } = await principals.updateSession(head, asked);
        if (!ok && kept === undefined) throw ended();
        this.#learn(kept ?? text);
        if (ok) return;
      }
      throw new Fault("overloaded", "too many calls change the session at once");
    });
  }

  /** Learns what other calls have changed. @throws Fault `session_not_found` where the session is over. */
  async refresh(): Promise<void> {
    const { turns, name, principals, head } = this.#options;
    await turns.inTurn(name, async () => {
      const text = await principals.findSession(head, name);
      if (text === undefined) throw ended();
      this.#learn(text);
    });
  }

  async isOver(): Promise<boolean> {
    const { principals, head, name } = this.#options;
    return (await principals.findSession(head, name)) === undefined;
  }

  #learn(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    this.state = readState(text);
  }
}

function ended(): Fault {
  return new Fault("session_not_found", "the session has ended: initialize again");
}
