/** A running NATS, Redis or Postgres, wherever it came from. */
export interface Part {
  readonly name: PartName;
  /** Where clients connect; keep it out of logs, it may hold a password. */
  readonly url: string;
  /** "a.b.c"; empty for a part given by its URL. */
  readonly version: string;
  readonly source: "url" | "machine" | "fetched" | "container";
  /** The server's process while it runs here, else undefined. */
  readonly pid: number | undefined;
  /** Settles with a description when the server ended and nobody asked through this handle. */
  readonly lost: Promise<string>;
  /** Ends the server cleanly; data stays. Does nothing for a part given by its URL. */
  stop(): Promise<void>;
  /** Sends the signal and resolves when the server is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts again on the same port and data, after a clean stop where it still runs. */
  restart(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type PartName = "nats" | "redis" | "postgres";

export interface LaunchOptions {
  /** Holds the part's data, configuration and log; made where it is missing. */
  dataDir: string;
  /** Default: a free port, kept over restart(). */
  port?: number;
  /** Told of what takes long, as a line for people. */
  onProgress?: (line: string) => void;
  /** `machine` (the default) prefers what is installed; `fetched` takes the project's own binaries. */
  prefer?: "machine" | "fetched";
  /** Default: this process's environment. */
  env?: NodeJS.ProcessEnv;
}

/** The part could not be had or started; the message says what to do. */
export class LaunchError extends Error {
  override name = "LaunchError";
}

/** Stands for a server that others run: it is used, never stopped. */
export function givenPart(name: PartName, url: string): Part {
  const refuse = async (): Promise<void> => {
    throw new LaunchError(`${name} was given by its URL and is not run from here: it can't be killed or restarted`);
  };
  return {
    name,
    url,
    version: "",
    source: "url",
    pid: undefined,
    lost: new Promise(() => {}),
    stop: async () => {},
    kill: refuse,
    restart: refuse,
    [Symbol.asyncDispose]: async () => {},
  };
}
