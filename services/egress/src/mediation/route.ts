import { Fault, type ListedKind } from "@sluice/contracts";
import { unusable } from "./eras.ts";
import { gatherMs, Survey, type Late } from "./survey.ts";
import { deafSink, type About, type Peer, type Sink } from "./peer.ts";
import { objectOf, type Members } from "./rpc.ts";
import { listKinds, Names, type Exposed, type ListKind, type PrefixMode } from "./names.ts";
import type { Listing, Lists, View } from "./lists.ts";
import { unlessAborted } from "./wire.ts";

/** Why a server's part of an answer is missing. */
export type ServerStatus = "ok" | "unavailable";

export interface RouteOptions {
  /** In the order of the configuration. */
  readonly servers: readonly string[];
  /** The address stands for all of them, however many there are. */
  readonly isMerged: boolean;
  /** What the call acts on, as policy decided about it: nothing else may be acted on. */
  readonly decided: string | undefined;
  readonly mode: PrefixMode;
  /** Lists are answered in one piece. */
  readonly isWhole?: boolean;
  readonly lists: Lists;
  readonly late: Late;
  readonly tenant: string;
  /** Told which of several servers the call acts on; undefined where it turned out to be none. */
  readonly onTarget: (server: string | undefined) => void;
  /** Absent for a server that cannot be used. */
  readonly viewOf: (server: string) => View | undefined;
  /** Speaks to a server in the name of this caller; what it says of its own accord goes to the sink. */
  readonly withPeer: <T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>) => Promise<T>;
  /** Told of each server whether it listed its tools, or why not. */
  readonly note: (server: string, failure: unknown) => void;
  /** Which of these the caller may use. */
  readonly mayUse: (kind: ListedKind, names: string[]) => Promise<readonly boolean[]>;
}

type NamedKind = "tools" | "prompts" | "resources";

/** Whose a thing is, and what its server calls it. */
export interface Target {
  readonly server: string;
  readonly own: string;
}

/** The upstreams behind one address as one caller sees them: one, or all of a tenant. */
export class Route {
  readonly servers: readonly string[];
  readonly isMerged: boolean;
  readonly names: Names;
  readonly #options: RouteOptions;
  readonly #survey: Survey;
  #actedOn: string | undefined;
  readonly #resolved = new Map<string, Promise<Target | undefined>>();

  constructor(options: RouteOptions) {
    this.#options = options;
    this.#survey = new Survey(options.late, options.tenant);
    this.servers = options.servers;
    this.isMerged = options.isMerged;
    this.names = new Names(this.isMerged ? options.mode : "never", options.servers);
  }

  get isWhole(): boolean {
    return this.#options.isWhole === true;
  }

  /** Which of several servers the call acts on, where it is one. */
  get actedOn(): string | undefined {
    return this.#actedOn;
  }

  actOn(server: string | undefined): void {
    if (!this.isMerged) return;
    this.#actedOn = server;
    this.#options.onTarget(server);
  }

  withPeer<T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>): Promise<T> {
    return this.#options.withPeer(server, sink, work);
  }

  /** What a server said of itself; whoever asked first does not end it for the others. */
  async about(server: string, signal: AbortSignal): Promise<About> {
    const fetching = AbortSignal.timeout(gatherMs * 3);
    const about = this.#options.lists.about(this.#view(server), (work) =>
      this.withPeer(server, deafSink(fetching), work),
    );
    return await unlessAborted(about, signal);
  }

  /** Which of these the caller may use. */
  mayUse(kind: ListedKind, names: string[]): Promise<readonly boolean[]> {
    return this.#options.mayUse(kind, names);
  }

  /** Everything of a kind that the caller may see, with what became of each server. @throws Fault where none answered. */
  async list(
    kind: ListKind,
  ): Promise<{ exposed: Exposed[]; freshUntil: number; statuses: Record<string, ServerStatus> }> {
    // One kind tells how a server stands: another may fail where it does not.
    const note = this.isMerged && kind === "tools" ? this.#options.note : undefined;
    const { answers, statuses } = await this.gather((server) => this.listing(server, kind), note);
    const exposed = this.#expose(kind, new Map(answers.map(({ server, answer }) => [server, answer])));
    return {
      exposed: await this.#visible(
        kind,
        exposed.filter(({ server }) => statuses[server] === "ok"),
      ),
      freshUntil: Math.min(...answers.map(({ answer }) => answer.freshUntil)),
      statuses,
    };
  }

  async listing(server: string, kind: ListKind): Promise<Listing> {
    const signal = AbortSignal.timeout(gatherMs * 3);
    return await this.#options.lists.get(this.#view(server), kind, (work) =>
      this.withPeer(server, deafSink(signal), work),
    );
  }

  /** Asks every server; the dead and the slow are left out. @throws what the last one died of, where none is left. */
  async gather<T>(
    ask: (server: string) => Promise<T>,
    note?: RouteOptions["note"],
  ): Promise<{
    answers: { server: string; answer: T }[];
    statuses: Record<string, ServerStatus>;
  }> {
    const answers: { server: string; answer: T }[] = [];
    const statuses: Record<string, ServerStatus> = {};
    let failure: unknown;
    const settled = await Promise.allSettled(this.servers.map((server) => this.#inTime(server, ask(server))));
    for (const [index, server] of this.servers.entries()) {
      const result = settled[index];
      note?.(server, result?.status === "rejected" ? result.reason : undefined);
      if (result?.status === "fulfilled") answers.push({ server, answer: result.value });
      else failure = result?.reason;
      statuses[server] = result?.status === "fulfilled" ? "ok" : "unavailable";
    }
    if (answers.length === 0) throw failure;
    return { answers, statuses };
  }

  /**
   * Whose the thing is that a call acts on, and what its server calls it; undefined where none has it. Ingress told
   * policy what the name means: where that is something else than here, because the two have different versions of the
   * configuration for a moment, there is no such thing.
   */
  async target(kind: NamedKind, name: string): Promise<Target | undefined> {
    const target = await this.resolve(kind, name);
    if (target === undefined || target.own !== this.#options.decided) return undefined;
    this.actOn(target.server);
    return target;
  }

  /** What the resources of one server are called at this address; one that nobody lists keeps its name unless all are prefixed. */
  async resourceNames(server: string): Promise<(own: string) => string> {
    const { answers } = await this.gather((one) => this.listing(one, "resources"));
    const exposed = this.#expose("resources", new Map(answers.map((one) => [one.server, one.answer])));
    const names = new Map(exposed.filter((one) => one.server === server).map(({ own, name }) => [own, name]));
    const isAlways = this.#options.mode === "always";
    return (own) => names.get(own) ?? (isAlways ? this.names.prefixed("resources", server, own) : own);
  }

  /** Whether policy decided about the thing of this name. */
  isDecided(name: string): boolean {
    return name === this.#options.decided;
  }

  /** Which server a name means, and what the server calls it; undefined where none has it. */
  resolve(kind: NamedKind, name: string): Promise<Target | undefined> {
    const key = `${kind}\0${name}`;
    const resolved = this.#resolved.get(key) ?? this.#resolve(kind, name);
    this.#resolved.set(key, resolved);
    return resolved;
  }

  async #resolve(kind: NamedKind, name: string): Promise<Target | undefined> {
    const [only] = this.servers;
    if (!this.isMerged && only !== undefined) return { server: only, own: name };
    const said = this.names.split(kind, name);
    if (said !== undefined) return said;
    const { member } = listKinds[kind];
    const has = ({ items }: Listing) => items.some((item) => item[member] === name);
    const listings = await this.#survey.answered(
      this.servers.map((server) => ({ server, answer: this.listing(server, kind) })),
      { has, isCertain: (answers) => this.#options.mode === "never" && isFirst(this.servers, answers, has) },
    );
    const found = this.#expose(kind, listings).find((one) => one.name === name);
    return found === undefined ? undefined : { server: found.server, own: found.own };
  }

  /**
   * The names of what the servers list. A server that does not answer keeps the names it had last: what a name means
   * does not turn with who is there.
   */
  #expose(kind: ListKind, listings: ReadonlyMap<string, Listing>): Exposed[] {
    const { lists, viewOf } = this.#options;
    const listed = this.servers.flatMap((server) => {
      const view = viewOf(server);
      const items = listings.get(server)?.items ?? (view && lists.last(view, kind));
      return items === undefined ? [] : [{ server, items }];
    });
    return this.names.expose(kind, listed);
  }

  #view(server: string): View {
    const view = this.#options.viewOf(server);
    if (view === undefined) throw unusable(server);
    return view;
  }

  async #inTime<T>(server: string, answer: Promise<T>): Promise<T> {
    return await (this.isMerged ? this.#survey.inTime({ server, answer }) : answer);
  }

  async #visible(kind: ListKind, exposed: Exposed[]): Promise<Exposed[]> {
    const { mayUse } = this.#options;
    const byServer = Map.groupBy(exposed, ({ server }) => server);
    const kept = new Set<Exposed>();
    await Promise.all(
      [...byServer.values()].map(async (ones) => {
        const may = await mayUse(
          listKinds[kind].asks,
          ones.map(({ own }) => own),
        );
        if (may.length !== ones.length) throw new Fault("internal", "policy's answer does not fit the list");
        ones.forEach((one, index) => may[index] === true && kept.add(one));
      }),
    );
    return exposed.filter((one) => kept.has(one));
  }
}

/** What several servers can do, taken together; only what is relayed for each. */
export function mergeCapabilities(all: readonly Members[]): Members {
  const has = (capability: string) => all.some((one) => one[capability] !== undefined);
  const some = (capability: string, flag: string) => all.some((one) => objectOf(one[capability])[flag] === true);
  return {
    ...(has("tools") && { tools: some("tools", "listChanged") ? { listChanged: true } : {} }),
    ...(has("prompts") && { prompts: some("prompts", "listChanged") ? { listChanged: true } : {} }),
    ...(has("resources") && {
      resources: {
        ...(some("resources", "subscribe") && { subscribe: true }),
        ...(some("resources", "listChanged") && { listChanged: true }),
      },
    }),
    ...(has("completions") && { completions: {} }),
    ...(has("logging") && { logging: {} }),
  };
}

/** Whether the first server that has it is known: those before it have answered. */
function isFirst<T>(servers: readonly string[], answers: ReadonlyMap<string, T>, has: (answer: T) => boolean): boolean {
  for (const server of servers) {
    const answer = answers.get(server);
    if (answer === undefined) return false;
    if (has(answer)) return true;
  }
  return false;
}
