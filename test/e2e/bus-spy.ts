import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { until, type TestHouse } from "@sluice/testing";

/** A message as it passed on the bus. */
export interface Overheard {
  readonly subject: string;
  readonly text: string;
}

/** Which user may hear what. */
const ears: Readonly<Record<string, readonly string[]>> = {
  policy: ["gw.admit.v1.*.policy.*.*", "gw.ask.v1.policy.*"],
  egress: ["gw.call.v1.egress.*", "gw.own.v1.egress.*"],
  ingress: ["gw.stream.v1.>"],
  "session-manager": ["gw.ask.v1.session-manager.*"],
};

export async function natsPassword(house: TestHouse, user: string): Promise<string> {
  const state = JSON.parse(await readFile(join(house.dataDir, "state.json"), "utf8")) as {
    natsPasswords: Record<string, string>;
  };
  return state.natsPasswords[user] ?? "";
}

/** A connection to the house's NATS as one of its services. */
export async function connectAs(house: TestHouse, user: string): Promise<NatsConnection> {
  const pass = await natsPassword(house, user);
  return connect({ servers: house.house.parts.nats.url, user, pass, inboxPrefix: `_INBOX.${user}` });
}

/** Hears every admission, call, stream frame and question that passes on the bus. */
export class BusSpy implements AsyncDisposable {
  readonly messages: Overheard[] = [];
  /** The tool that was called last to have heard everything. */
  landmark = "";
  #landmarks = 0;
  readonly #connections: NatsConnection[] = [];

  static async open(house: TestHouse): Promise<BusSpy> {
    const spy = new BusSpy();
    for (const [user, subjects] of Object.entries(ears)) {
      const nats = await connectAs(house, user);
      spy.#connections.push(nats);
      for (const subject of subjects) {
        nats.subscribe(subject, {
          callback: (_error, message) => {
            spy.messages.push({ subject: message.subject, text: Buffer.from(message.data).toString("latin1") });
          },
        });
      }
      await nats.flush();
    }
    return spy;
  }

  /**
   * What passed since the last look. `call` calls a tool of a name that policy was not asked about before, and each
   * connection hears in order: what passed earlier is heard before its admission and its hand-over to egress.
   */
  async heard(call: (tool: string) => Promise<unknown>): Promise<Overheard[]> {
    this.landmark = `landmark-${this.#landmarks++}`;
    await call(this.landmark);
    for (const kind of ["gw.admit.", "gw.call."]) {
      await until(`the landmark on ${kind}`, () =>
        this.messages.some((message) => message.text.includes(this.landmark) && message.subject.startsWith(kind)),
      );
    }
    return this.messages.splice(0).filter((message) => !isLandmark(message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((nats) => nats.close()));
  }
}

function isLandmark({ text }: Overheard): boolean {
  return text.includes("landmark");
}
