import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AuthorizationError,
  connect,
  headers,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
  type PublishOptions,
  type Subscription,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { addresseeOf, answerOf, Fault, subjects, type ServiceName } from "@sluice/contracts";
import { Inbox, natsItself, type Waiting } from "./inbox.ts";
import { Received, type Incoming } from "./incoming.ts";
import { tlsOptions, type TlsMaterial } from "./tls-options.ts";

/** What is done with a message; what it throws is reported. */
export type Handler = (message: Incoming) => void | Promise<void>;

export interface BusOptions {
  readonly url: string;
  readonly user?: string;
  readonly pass?: string;
  /** What TLS connections are made with, read at each; with it, or with a `tls://` address, none is made without TLS. */
  readonly tls?: TlsMaterial | undefined;
  readonly service: ServiceName;
  /** `refused`: it stays so until somebody changes something. */
  readonly onError?: (message: string, kind?: "refused") => void;
}

export interface TellOptions {
  readonly reply?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface AskOptions extends TellOptions {
  readonly timeoutMs: number;
  /** Who answers, where the subject does not name the service. */
  readonly from?: ServiceName;
}

interface Outgoing {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly options: TellOptions;
}

const connectTimeoutMs = 5_000;
const firstConnectRetryMs = 500;
const triesPerReport = 20;
/** Left for the headers of a message. */
const headroomBytes = 1_024;
const oldestServer = [2, 10] as const;

/** One connection to NATS. Every wait has a deadline, and nothing is sent while the connection is down. */
export class Bus implements AsyncDisposable {
  readonly service: ServiceName;
  /** Names this replica for as long as the process lives. */
  readonly instance: string;
  readonly inbox: Inbox;
  /** The raw connection, for the rest of this package only. */
  readonly nats: NatsConnection;
  readonly #user: string | undefined;
  #connected = true;
  readonly #reconnectListeners = new Set<() => void>();
  #jobs: (() => void)[] = [];
  #outgoing: Outgoing[] = [];
  #scheduled = false;
  readonly #onError: NonNullable<BusOptions["onError"]>;

  private constructor(nats: NatsConnection, options: BusOptions, instance: string) {
    this.nats = nats;
    this.service = options.service;
    this.instance = instance;
    this.inbox = new Inbox(nats, subjects.inbox(options.service, instance));
    this.#user = options.user;
    this.#onError = options.onError ?? (() => {});
    void this.#follow();
  }

  static async connect(options: BusOptions): Promise<Bus> {
    const instance = `i${randomBytes(6).toString("hex")}`;
    const nats = await connectPatiently(options.onError ?? (() => {}), {
      servers: options.url,
      name: `sluice-${options.service}-${instance}`,
      ...(options.user !== undefined && { user: options.user }),
      ...(options.pass !== undefined && { pass: options.pass }),
      ...tlsOptions(options),
      timeout: connectTimeoutMs,
      inboxPrefix: `_INBOX.${options.service}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 200,
      reconnectJitter: 100,
      pingInterval: 5_000,
      maxPingOut: 2,
      ignoreAuthErrorAbort: true,
    });
    refuseOldServer(nats.info?.version ?? "0.0.0");
    return new Bus(nats, options, instance);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Calls the listener after each reconnect; what was published in between is gone and must be sent again. */
  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }

  /** Resolves at once while connected, else at the reconnect; rejects with `unavailable` at the deadline. */
  async whenConnected(timeoutMs: number): Promise<void> {
    if (this.#connected) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const off = this.onReconnect(resolve);
    const timer = setTimeout(() => reject(new Fault("unavailable", "the message bus is not reachable")), timeoutMs);
    await promise.finally(() => {
      off();
      clearTimeout(timer);
    });
  }

  /**
   * Publishes, together with everything else that is told in the same turn of the event loop: one write to the socket
   * instead of one per message (ADR 0001). Throws `unavailable` while disconnected, because the client would drop the
   * message silently. What goes to somebody's inbox goes there as an answer of this service.
   */
  tell(subject: string, payload: Uint8Array, options: TellOptions = {}): void {
    if (!this.#connected) throw new Fault("unavailable", "the message bus is not reachable");
    const room = (this.nats.info?.max_payload ?? Infinity) - headroomBytes;
    if (payload.length > room) throw new Fault("internal", "a message is larger than the bus carries");
    this.#outgoing.push({ subject: answerOf(subject, this.service), payload, options });
    this.#schedule();
  }

  /** Runs a job at the end of this turn of the event loop; what it tells goes out with the rest of the turn. */
  atEndOfTurn(job: () => void): void {
    this.#jobs.push(job);
    this.#schedule();
  }

  /** Asks one replica and waits for its one answer; only the service that is asked can give it. */
  ask(subject: string, payload: Uint8Array, options: AskOptions): Promise<Incoming> {
    const { promise, resolve, reject } = Promise.withResolvers<Incoming>();
    const waiting: Waiting = this.inbox.open({
      from: options.from ?? addresseeOf(subject) ?? natsItself,
      timeoutMs: options.timeoutMs,
      onMessage: (message) => {
        waiting.close();
        resolve(message);
      },
      onFailure: reject,
    });
    try {
      this.tell(subject, payload, { ...options, reply: waiting.subject });
    } catch (error) {
      waiting.close();
      reject(error);
    }
    return promise;
  }

  /** Serves a subject as one of a queue group named like the service (or `pool`). */
  serve(subject: string, handler: Handler, pool: string = this.service): Subscription {
    return this.nats.subscribe(subject, { queue: pool, callback: this.#guarded(handler) });
  }

  /** Hears every message of a subject, in every replica. */
  listen(subject: string, handler: Handler): Subscription {
    return this.nats.subscribe(subject, { callback: this.#guarded(handler) });
  }

  /** Resolves when the server has processed everything sent so far, subscriptions included. */
  flush(): Promise<void> {
    this.#endTurn();
    return this.nats.flush();
  }

  async close(): Promise<void> {
    this.#endTurn();
    this.inbox.close();
    await this.nats.drain().catch(() => this.nats.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#endTurn());
  }

  #endTurn(): void {
    this.#scheduled = false;
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const job of jobs) job();
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    if (!this.#connected) return;
    for (const { subject, payload, options } of outgoing) {
      try {
        this.nats.publish(subject, payload, natsOptions(options));
      } catch (error) {
        this.#report(error);
      }
    }
  }

  /** A message that a handler cannot digest is reported; it does not end the service. */
  #guarded(handler: Handler): (error: Error | null, message: Msg) => void {
    return (error, message) => {
      if (error !== null) return;
      try {
        void handler(new Received(message))?.catch((thrown: unknown) => this.#report(thrown));
      } catch (thrown) {
        this.#report(thrown);
      }
    };
  }

  #report(thrown: unknown): void {
    this.#onError(`a message could not be handled: ${thrown instanceof Error ? thrown.message : "unknown"}`);
  }

  async #follow(): Promise<void> {
    const onError = this.#onError;
    for await (const status of this.nats.status()) {
      if (status.type === "disconnect" || status.type === "staleConnection") this.#connected = false;
      if (status.type === "reconnect") {
        this.#connected = true;
        for (const listener of [...this.#reconnectListeners]) listener();
      }
      if (status.type === "disconnect" || status.type === "reconnect") onError(`nats ${status.type}`);
      if (status.type === "error" && isRefusal(status.error)) onError(refusalOf(this.#user), "refused");
      else if (status.type === "error") onError(`nats error: ${status.error.message}`);
    }
  }
}

function natsOptions({ reply, headers: given }: TellOptions): PublishOptions | undefined {
  if (given === undefined) return reply === undefined ? undefined : { reply };
  const written = headers();
  for (const [name, value] of Object.entries(given)) written.set(name, value);
  return { ...(reply !== undefined && { reply }), headers: written };
}

/** Tries until there is a server that lets this service in; says now and then why there is none. */
async function connectPatiently(
  report: NonNullable<BusOptions["onError"]>,
  options: NodeConnectionOptions,
): Promise<NatsConnection> {
  for (let failures = 0; ; failures++) {
    try {
      return await connect(options);
    } catch (error) {
      if (failures % triesPerReport === 0) {
        if (isRefusal(error)) report(refusalOf(options.user), "refused");
        else report(`no connection to nats yet: ${reasonOf(error, options)}`);
      }
      await sleep(firstConnectRetryMs);
    }
  }
}

/** A server that does not accept a certificate breaks off without a word that the client would pass on. */
function reasonOf(error: unknown, { tls }: NodeConnectionOptions): string {
  const reason = error instanceof Error ? error.message : "unknown";
  const isSilent = error instanceof Error && error.name === "TimeoutError";
  return isSilent && tls ? `${reason} (over TLS: NATS may not accept this service's certificate, or want one)` : reason;
}

function isRefusal(error: unknown): boolean {
  return error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError;
}

function refusalOf(user: string | undefined): string {
  const who = user === undefined ? "a service without NATS_USER" : `user ${user}`;
  return `NATS refuses ${who}: check NATS_USER and NATS_PASSWORD`;
}

function refuseOldServer(version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > oldestServer[0] || (major === oldestServer[0] && minor >= oldestServer[1])) return;
  throw new Error(`nats-server ${version} is too old: Sluice needs ${oldestServer.join(".")} or newer`);
}
