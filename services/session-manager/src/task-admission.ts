import {
  namedSchema,
  type Intent,
  type KnownTask,
  type Named,
  type Renamed,
  type SessionVerdict,
} from "@sluice/contracts";
import type { PushConfigs } from "./push-named.ts";
import type { Owner } from "./sessions.ts";
import { isStorable, renamesOf, type Found, type NameClaim, type OwnName } from "./task-names.ts";
import type { Tasks } from "./tasks.ts";

/** One call's part of the claims of all. */
interface Asked {
  readonly owner: Owner;
  readonly named: Named;
  readonly claims: readonly NameClaim[];
}

const refused: SessionVerdict = { ok: false };

/** Decides about each A2A call of a batch by what it names; all of it is looked up at once. */
export async function admitTasks(
  calls: readonly Intent[],
  { tasks, pushConfigs }: { readonly tasks: Tasks; readonly pushConfigs: PushConfigs },
): Promise<SessionVerdict[]> {
  const asked = calls.map(askedBy);
  const found = await tasks.find(asked.flatMap((one) => one?.claims ?? []));
  let at = 0;
  return Promise.all(
    asked.map(async (one, index) => {
      if (one === undefined) return refused;
      const ofCall = found.slice(at, (at += one.claims.length));
      const known = knownBy(one, ofCall);
      if (known === undefined) return refused;
      const { pushConfig } = one.named;
      const call = calls[index];
      if (pushConfig === undefined || call === undefined) return { ok: true, known };
      const isItsOwn = await pushConfigs.has({ ...one.owner, task: known.task?.id, pushConfig, method: call.method });
      return isItsOwn ? { ok: true, known } : refused;
    }),
  );
}

/** Undefined where nothing that the call names can be its caller's. */
function askedBy({ tenant, server, identity, a2a }: Intent): Asked | undefined {
  const parsed = namedSchema.safeParse(a2a);
  if (!parsed.success || identity === undefined) return undefined;
  const named = parsed.data;
  const owner = { tenant, server, identity };
  const { task, context, references = [] } = named;
  const claims: NameClaim[] = [
    ...(task === undefined ? [] : [{ ...owner, kind: "task" as const, name: task }]),
    ...references.map((name) => ({ ...owner, kind: "task" as const, name })),
    ...(context === undefined ? [] : [{ ...owner, kind: "context" as const, name: context }]),
  ];
  const texts = [tenant, server, identity, ...claims.map(({ name }) => name)];
  return texts.every(isStorable) ? { owner, named, claims } : undefined;
}

/** What is known of all that the call names; undefined where something of it is not its caller's, and has to be. */
function knownBy({ named, claims }: Asked, found: readonly Found[]): KnownTask | undefined {
  const tasks: Renamed[] = [];
  const contexts: Renamed[] = [];
  let own: OwnName | undefined;
  for (const [index, { kind, name }] of claims.entries()) {
    const one = found[index];
    if (one === undefined) return undefined;
    const isNamedTask = index === 0 && named.task !== undefined;
    if (one.own === undefined && kind === "task" && !(isNamedTask && named.mayBeNew === true)) return undefined;
    (kind === "task" ? tasks : contexts).push({
      client: name,
      upstream: one.own === undefined ? one.newUpstream : one.own.upstream,
    });
    if (one.own?.context !== undefined)
      contexts.push({ client: one.own.contextClient ?? one.own.context, upstream: one.own.context });
    if (isNamedTask) own = one.own;
  }
  const renames = renamesOf(tasks, contexts);
  return { ...(own !== undefined && { task: taskOf(own) }), ...(renames !== undefined && { renames }) };
}

function taskOf({ upstream: id, context, state, watch }: OwnName): NonNullable<KnownTask["task"]> {
  return {
    id,
    ...(context !== undefined && { context }),
    ...(state !== undefined && { state }),
    ...(watch !== undefined && { watch }),
  };
}
