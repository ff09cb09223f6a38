import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  sessionNameOf,
  subjects,
  type CallHead,
  type FilterAnswer,
  type FilterQuestion,
  type SessionCreate,
  type SessionCreated,
  type KeptSession,
  type ListedKind,
  type SessionEnd,
  type SessionFind,
  type SessionFound,
  type SessionUpdate,
  type SessionUpdated,
} from "@sluice/contracts";

const timeoutMs = 2_000;
/** What one question may hold, so that it fits one message: a character takes up to six bytes of JSON, a name three more. */
const questionBytes = 768 * 1024;
const bytesOf = (name: string) => name.length * 6 + 3;

/** What egress asks other services about the one who calls. */
export class Principals {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Policy's view of what this caller may see of a list; the same evaluator that admits calls. */
  listFilter(head: CallHead): (kind: ListedKind, names: string[]) => Promise<readonly boolean[]> {
    const { tenant, agent, issuer, user, scopes, server } = head;
    const who = {
      agent,
      ...(issuer !== undefined && { issuer }),
      ...(user !== undefined && { user }),
      ...(scopes !== undefined && { scopes }),
    };
    return async (kind, names) => {
      const answers = await Promise.all(
        slices(names).map((slice) => {
          const question: FilterQuestion = { tenant, ...who, protocol: "mcp", server, kind, names: slice };
          return this.#ask("policy", "filter", question);
        }),
      );
      return answers.flatMap((answer) => decodeJson<FilterAnswer>(answer).keep);
    };
  }

  /** Registers the upstream's session and returns the id that the client gets instead, and what had to make room for it. */
  async openSession(
    head: CallHead,
    upstreamSession: string,
    kept: Omit<KeptSession, "upstreamSession"> = {},
  ): Promise<SessionCreated> {
    const { tenant, identity, server, client } = head;
    const whose = { tenant, identity, server, ...(client !== undefined && { client }) };
    const create: SessionCreate = { ...whose, upstreamSession, ...kept };
    const created = decodeJson<Partial<SessionCreated>>(await this.#ask("session-manager", "create", create));
    const { session } = created;
    if (session === undefined) throw new Fault("unavailable", "the session could not be registered");
    return { ...created, session };
  }

  /** What is kept of a session; undefined where there is none of this name (any more). */
  async findSession({ tenant, identity, server }: CallHead, session: string): Promise<string | undefined> {
    const find: SessionFind = { session, tenant, identity, server };
    return decodeJson<SessionFound>(await this.#ask("session-manager", "find", find)).upstreamSession;
  }

  /** Replaces what is kept of a session, where it still is what was expected. */
  async updateSession(
    { tenant, identity, server }: CallHead,
    change: Pick<SessionUpdate, "session" | "expected" | "upstreamSession">,
  ): Promise<SessionUpdated> {
    const update: SessionUpdate = { tenant, identity, server, ...change };
    return decodeJson<SessionUpdated>(await this.#ask("session-manager", "update", update));
  }

  async endSession(session: string): Promise<void> {
    const end: SessionEnd = { session: sessionNameOf(session) };
    await this.#ask("session-manager", "end", end);
  }

  async #ask(service: "policy" | "session-manager", verb: string, question: unknown): Promise<Uint8Array> {
    const answer = await this.#bus.ask(subjects.ask(service, verb), encodeJson(question), { timeoutMs });
    return answer.data;
  }
}

function slices(names: readonly string[]): string[][] {
  const cut: string[][] = [];
  let room = 0;
  for (const name of names) {
    room -= bytesOf(name);
    if (room < 0) {
      cut.push([]);
      room = questionBytes - bytesOf(name);
    }
    cut.at(-1)?.push(name);
  }
  return cut;
}
