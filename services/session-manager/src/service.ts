import { readCalls, type Incoming } from "@sluice/bus";
import {
  clientSchema,
  encodeJson,
  subjects,
  type AdmissionAnswer,
  type Intent,
  type KeptSession,
  type SessionCreated,
  type SessionFound,
  type SessionUpdated,
  type SessionVerdict,
} from "@sluice/contracts";
import { z } from "zod";
import { read, type Serving } from "./serving.ts";
import type { Sessions } from "./sessions.ts";

/** What the handlers need of the world. */
export interface Deps extends Pick<Serving, "reply" | "ignored"> {
  readonly sessions: Sessions;
  readonly admitTasks: (calls: readonly Intent[]) => Promise<readonly SessionVerdict[]>;
  readonly counted: (what: "created" | "ended" | "found" | "refused", count: number) => void;
}

type Handler = (deps: Deps, message: Incoming) => Promise<void>;

/** The upstream's id travels in a header: visible ASCII (MCP 2025-11-25, Session Management). */
const keptText = z.string().regex(/^[\x21-\x7e]{1,32768}$/);
const ownerSchema = z.object({ tenant: z.string().min(1), identity: z.string().min(1), server: z.string().min(1) });
const createSchema = ownerSchema.extend({
  upstreamSession: keptText,
  isMediated: z.boolean().optional(),
  clientClass: z.string().max(64).optional(),
  owner: z.string().max(64).optional(),
  client: clientSchema.optional(),
});
const findSchema = ownerSchema.extend({ session: z.string() });
const updateSchema = findSchema.extend({ expected: keptText, upstreamSession: keptText });
const endSchema = z.object({ session: z.string() });

/** Decides about each call of a batch: of MCP by the session that it names, of A2A by the tasks and contexts. */
export const handleAdmission: Handler = async (deps, message) => {
  const calls = readCalls(message);
  if (calls === undefined || message.reply === undefined)
    return deps.ignored("not an admission request that waits for an answer");
  const ofTasks = calls.filter(({ protocol }) => protocol === "a2a");
  const ofSessions = calls.filter(({ protocol }) => protocol !== "a2a");
  const [tasks, sessions] = await Promise.all([
    ofTasks.length === 0 ? [] : deps.admitTasks(ofTasks),
    ofSessions.length === 0 ? [] : admitSessions(deps, ofSessions),
  ]);
  let [task, session] = [0, 0];
  const verdicts = calls.map(
    ({ protocol }) => (protocol === "a2a" ? tasks[task++] : sessions[session++]) ?? { ok: false as const },
  );
  const answer: AdmissionAnswer = { by: "session-manager", verdicts };
  deps.reply(message.reply, encodeJson(answer));
};

async function admitSessions(deps: Deps, calls: readonly Intent[]): Promise<readonly SessionVerdict[]> {
  const claims = calls.map(({ tenant, identity, server, session }) => ({
    tenant,
    identity: identity ?? "",
    server,
    session: session ?? "",
  }));
  const found = await deps.sessions.find(claims);
  const verdicts = found.map(verdictOf);
  const refused = verdicts.filter(({ ok }) => !ok).length;
  deps.counted("found", claims.length - refused);
  deps.counted("refused", refused);
  return verdicts;
}

function verdictOf(kept: KeptSession | undefined): SessionVerdict {
  return kept === undefined ? { ok: false } : { ok: true, ...kept };
}

export const handleCreate: Handler = async (deps, message) => {
  const asked = read(createSchema, message);
  if (asked === undefined || message.reply === undefined) return deps.ignored("not a session that waits to be created");
  const { tenant, identity, server, upstreamSession, isMediated, clientClass, owner, client } = asked;
  const kept = {
    upstreamSession,
    ...(isMediated && { isMediated }),
    ...(clientClass !== undefined && { clientClass }),
    ...(owner !== undefined && { owner }),
    ...(client !== undefined && { client }),
  };
  const { session, ended } = await deps.sessions.create({ tenant, identity, server }, kept);
  const created: SessionCreated = { session, ...(ended.length > 0 && { ended }) };
  deps.counted("created", 1);
  deps.counted("ended", ended.length);
  deps.reply(message.reply, encodeJson(created));
};

const handleFind: Handler = async (deps, message) => {
  const asked = read(findSchema, message);
  if (asked === undefined || message.reply === undefined) return deps.ignored("not a session that is asked after");
  const kept = await deps.sessions.look(asked);
  const found: SessionFound = kept === undefined ? {} : { upstreamSession: kept.upstreamSession };
  deps.reply(message.reply, encodeJson(found));
};

const handleUpdate: Handler = async (deps, message) => {
  const asked = read(updateSchema, message);
  if (asked === undefined || message.reply === undefined) return deps.ignored("not a session that waits to be updated");
  const { expected, upstreamSession, ...claim } = asked;
  const updated: SessionUpdated = await deps.sessions.update(claim, { expected, upstreamSession });
  deps.reply(message.reply, encodeJson(updated));
};

export const handleEnd: Handler = async (deps, message) => {
  const asked = read(endSchema, message);
  if (asked === undefined) return deps.ignored("not a session to be ended");
  await deps.sessions.end(asked.session);
  deps.counted("ended", 1);
  if (message.reply !== undefined) deps.reply(message.reply, encodeJson({}));
};

/** Serves what is asked of sessions, and every admission. */
export function serveSessions(serve: Serving["serve"], deps: Deps): void {
  serve(subjects.ask("session-manager", "create"), (message) => handleCreate(deps, message));
  serve(subjects.ask("session-manager", "find"), (message) => handleFind(deps, message));
  serve(subjects.ask("session-manager", "update"), (message) => handleUpdate(deps, message));
  serve(subjects.ask("session-manager", "end"), (message) => handleEnd(deps, message));
  serve(subjects.admitSession, (message) => handleAdmission(deps, message));
}
