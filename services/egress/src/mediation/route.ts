import { Fault, type ListedKind } from "@sluice/contracts";
import { deafSink, type About, type Peer, type Sink } from "./peer.ts";
import { objectOf, type Members } from "./rpc.ts";
import { listKinds, Names, type Exposed, type ListKind, type PrefixMode } from "./names.ts";
import type { Listing, Lists, View } from "./lists.ts";

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
  readonly viewOf: (server: string) => View;
  /** Speaks to a server in the name of this caller; what it says of its own accord goes to the sink. */
  readonly withPeer: <T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>) => Promise<T>;
  /** Which of these the caller may use. */
  readonly mayUse: (kind: ListedKind, server: string, names: string[]) => Promise<readonly boolean[]>;
}

/** How long one server may hold up what is gathered from several; one that was late a moment ago not so long again. */
const gatherMs = 10_000;
const lateAgainMs = 100;
const lateForMs = 30_000;

/** Servers that did not answer in time lately, by what names them. */
export type Late = Map<string, number>;

/** The upstreams behind one address as one caller sees them: one, or all of a tenant. */
export class Route {
  readonly servers: readonly string[];
  readonly isMerged: boolean;
  readonly names: Names;
  readonly #options: RouteOptions;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.servers = options.servers;
    this.isMerged = options.isMerged;
    this.names = new Names(this.isMerged ? options.mode : "never", options.servers);
  }

  get isWhole(): boolean {
    return this.#options.isWhole === true;
  }

  withPeer<T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>): Promise<T> {
    return this.#options.withPeer(server, sink, work);
  }

  about(server: string, signal: AbortSignal): Promise<About> {
    const { lists, viewOf } = this.#options;
    return lists.about(viewOf(server), (work) => this.withPeer(server, deafSink(signal), work));
  }

  /** Which of these the caller may use. */
  mayUse(kind: ListedKind, server: string, names: string[]): Promise<readonly boolean[]> {
    return this.#options.mayUse(kind, server, names);
  }

  /** Everything of a kind that the caller may see, with what became of each server. @throws Fault where none answered. */
  async list(
    kind: ListKind,
  ): Promise<{ exposed: Exposed[]; freshUntil: number; statuses: Record<string, ServerStatus> }> {
    const { answers, statuses } = await this.gather((server) => this.listing(server, kind));
    const exposed = this.names.expose(
      kind,
      answers.map(({ server, answer }) => ({ server, items: answer.items })),
    );
    return {
      exposed: await this.#visible(kind, exposed),
      freshUntil: Math.min(...answers.map(({ answer }) => answer.freshUntil)),
      statuses,
    };
  }

  listing(server: string, kind: ListKind): Promise<Listing> {
    const { lists, viewOf } = this.#options;
    const signal = AbortSignal.timeout(gatherMs * 3);
    return lists.get(viewOf(server), kind, (work) => this.withPeer(server, deafSink(signal), work));
  }

  /** Asks every server; the dead and the slow are left out. @throws what the last one died of, where none is left. */
  async gather<T>(ask: (server: string) => Promise<T>): Promise<{
    answers: { server: string; answer: T }[];
    statuses: Record<string, ServerStatus>;
  }> {
    const answers: { server: string; answer: T }[] = [];
    const statuses: Record<string, ServerStatus> = {};
    let failure: unknown;
    const settled = await Promise.allSettled(this.servers.map((server) => this.#inTime(ask(server), server)));
    for (const [index, server] of this.servers.entries()) {
      const result = settled[index];
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
  async target(
    kind: "tools" | "prompts" | "resources",
    name: string,
  ): Promise<{ server: string; own: string } | undefined> {
    const target = await this.resolve(kind, name);
    return target?.own === this.#options.decided ? target : undefined;
  }

  /** Whether policy decided about the thing of this name. */
  isDecided(name: string): boolean {
    return name === this.#options.decided;
  }

  /** Which server a name means, and what the server calls it; undefined where none has it. */
  async resolve(
    kind: "tools" | "prompts" | "resources",
    name: string,
  ): Promise<{ server: string; own: string } | undefined> {
    const [only] = this.servers;
    if (!this.isMerged && only !== undefined) return { server: only, own: name };
    const said = this.names.split(kind, name);
    if (said !== undefined) return said;
    const { answers } = await this.gather((server) => this.listing(server, kind));
    const exposed = this.names.expose(
      kind,
      answers.map(({ server, answer }) => ({ server, items: answer.items })),
    );
    const found = exposed.find((one) => one.name === name);
    return found === undefined ? undefined : { server: found.server, own: found.own };
  }

  async #inTime<T>(answer: Promise<T>, server: string): Promise<T> {
    if (!this.isMerged) return await answer;
    const { late, viewOf } = this.#options;
    const { tenant } = viewOf(server);
    const name = `${tenant}\0${server}`;
    const timeout = Promise.withResolvers<never>();
    const giveUp = () => {
      late.set(name, Date.now() + lateForMs);
      timeout.reject(new Fault("upstream_timeout", `the server '${server}' did not answer in time`));
    };
    answer.then(
      () => late.delete(name),
      () => {},
    );
    const timer = setTimeout(giveUp, (late.get(name) ?? 0) > Date.now() ? lateAgainMs : gatherMs);
    return await Promise.race([answer, timeout.promise]).finally(() => clearTimeout(timer));
  }

  async #visible(kind: ListKind, exposed: Exposed[]): Promise<Exposed[]> {
    const { mayUse } = this.#options;
    const byServer = Map.groupBy(exposed, ({ server }) => server);
    const kept = new Set<Exposed>();
    await Promise.all(
      [...byServer].map(async ([server, ones]) => {
        const may = await mayUse(
          listKinds[kind].asks,
          server,
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
