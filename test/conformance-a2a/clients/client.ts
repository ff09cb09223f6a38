import type { A2aBinding, A2aVersion } from "@sluice/contracts";
import type { Piece, State } from "../agents/words.ts";
import type { Tape } from "./tape.ts";

/** What a client says. */
export interface Said {
  readonly pieces: readonly Piece[];
  /** A task to go on with; clients of 0.1 name a new one so, too. */
  readonly task?: string;
  readonly context?: string;
  readonly references?: readonly string[];
}

export interface Push {
  readonly id?: string;
  readonly url: string;
  readonly token?: string;
  readonly authentication?: { readonly scheme: string; readonly credentials: string };
}

export interface SendOptions {
  /** Comes back as soon as there is a task. 0.1 cannot. */
  readonly isImmediate?: boolean;
  readonly historyLength?: number;
  readonly push?: Push;
}

export interface SeenTask {
  readonly is: "task";
  readonly task: string;
  readonly context: string;
  readonly state: State;
  readonly text?: string;
  readonly artifacts: readonly { readonly id: string; readonly pieces: readonly Piece[] }[];
  readonly history: readonly { readonly role: "user" | "agent"; readonly pieces: readonly Piece[] }[];
}

/** What a client sees, in words that no revision owns. */
export type Seen =
  | SeenTask
  | { readonly is: "message"; readonly context?: string; readonly pieces: readonly Piece[] }
  | { readonly is: "status"; readonly task: string; readonly state: State; readonly text?: string }
  | {
      readonly is: "artifact";
      readonly task: string;
      readonly id: string;
      readonly pieces: readonly Piece[];
      readonly append: boolean;
      readonly last: boolean;
    };

/** What a card says that clients go by. */
export interface SeenCard {
  readonly name: string;
  readonly skills: readonly string[];
  readonly urls: readonly string[];
}

/** An error of the protocol, by its code in JSON-RPC whatever the binding. */
export class Problem extends Error {
  readonly code: number;

  constructor(code: number, options?: ErrorOptions) {
    super(`A2A error ${code}`, options);
    this.code = code;
  }
}

/** A client of one revision and binding. What its revision does not have is not there. */
export interface A2aClient {
  readonly version: A2aVersion;
  readonly binding: A2aBinding;
  readonly tape: Tape;
  card(): Promise<SeenCard>;
  send(said: Said, options?: SendOptions): Promise<Seen>;
  stream(said: Said, options?: SendOptions & { readonly signal?: AbortSignal }): AsyncIterable<Seen>;
  get(task: string, historyLength?: number): Promise<SeenTask>;
  cancel(task: string): Promise<SeenTask>;
  subscribe(task: string, signal?: AbortSignal): AsyncIterable<Seen>;
  list?(filter: { readonly context?: string; readonly pageSize?: number }): Promise<readonly SeenTask[]>;
  setPush(task: string, push: Push): Promise<Push>;
  getPush(task: string, id: string): Promise<Push>;
  listPush?(task: string): Promise<readonly Push[]>;
  deletePush?(task: string, id: string): Promise<void>;
  extendedCard?(): Promise<SeenCard>;
}

/** How clients are made: for an agent itself, or for its place behind the gateway. */
export interface ClientOptions {
  /** The card is below it at the well-known path of the revision. */
  readonly baseUrl: string;
  /** Added to each request, such as a key of the gateway. */
  readonly headers?: Readonly<Record<string, string>>;
}
