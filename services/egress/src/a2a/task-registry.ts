import type { Observed } from "@sluice/a2a";
import type { Bus } from "@sluice/bus";
import {
  Fault,
  decodeJson,
  encodeJson,
  subjects,
  upstreamNameOf,
  type CallHead,
  type KnownTask,
  type Renamed,
  type Renames,
  type TaskRegister,
  type TaskRegistered,
  type TaskWatch,
} from "@sluice/contracts";
import type { PushOperations } from "./push-operations.ts";

const timeoutMs = 2_000;

/** Keeps whose tasks and contexts are, before anybody learns of them. */
export class TaskRegistry {
  readonly #bus: Bus;
  readonly #pushes: Pick<PushOperations, "bind">;

  constructor(bus: Bus, pushes: Pick<PushOperations, "bind">) {
    this.#bus = bus;
    this.#pushes = pushes;
  }

  /**
   * Takes note of what an agent's answer to this call says, or an event of its stream. Gives back the names that came about with it.
   * @throws Fault `unavailable` where that can't be kept, `upstream_failed` where it is another caller's
   */
  async note(head: CallHead, observed: Observed, watch?: TaskWatch): Promise<Renames | undefined> {
    const renames = await this.#note(head, observed, watch);
    await this.#pushes.bind(head, observed);
    return renames;
  }

  /**
   * Registers the name that a client of 0.1 has chosen for a task before the agent, one of 0.1 too, hears of it: it can be
   * asked for and cancelled while its send is under way. @throws Fault like `note`
   */
  async claim(head: CallHead): Promise<void> {
    const { named, known } = head.a2a ?? {};
    if (named?.mayBeNew !== true || named.task === undefined || known?.task !== undefined) return;
    const task = upstreamNameOf(named.task, known?.renames?.tasks);
    await this.#register(registrationOf(head, { task }, known?.renames));
  }

  async #note(head: CallHead, told: Observed, watch?: TaskWatch): Promise<Renames | undefined> {
    const observed = inContext(head, told);
    const { task, context, state } = observed;
    if (task === undefined && context === undefined) return undefined;
    const known = head.a2a?.known;
    const fresh = namesBy(head, observed);
    if (watch === undefined && fresh === undefined && isKnown(known?.task, observed)) {
      if (state !== known?.task?.state) this.tell(head, observed, known?.renames);
      return undefined;
    }
    const registration = registrationOf(head, observed, joined(known?.renames, fresh));
    await this.#register({ ...registration, ...(watch !== undefined && { watch }) });
    return fresh;
  }

  /** Lets the state of a known task travel; nothing waits for it. */
  tell(head: CallHead, observed: Observed, renames: Renames | undefined): void {
    if (observed.state === undefined) return;
    this.#register(registrationOf(head, observed, renames)).catch(() => {});
  }

  async #register(register: TaskRegister): Promise<void> {
    const subject = subjects.ask("session-manager", "tasks-register");
    const answer = await this.#bus.ask(subject, encodeJson(register), { timeoutMs }).catch((cause: unknown) => {
      throw new Fault("unavailable", "the task could not be registered", { cause });
    });
    const { ok } = decodeJson<Partial<TaskRegistered>>(answer.data);
    if (ok === undefined) throw new Fault("unavailable", "the task could not be registered");
    if (!ok) throw new Fault("upstream_failed", "the agent answered with a task that is not this caller's");
  }
}

function registrationOf(
  { tenant, identity, server }: CallHead,
  { task, context, state, stateAt }: Omit<Observed, "kind" | "isLast">,
  renames: Renames | undefined,
): TaskRegister {
  return {
    ...{ tenant, identity, server },
    ...(task !== undefined && { task }),
    ...(context !== undefined && { context }),
    ...(renames !== undefined && { renames }),
    ...(state !== undefined && { state }),
    ...(stateAt !== undefined && { stateAt }),
  };
}

/** A new task of which the agent does not tell its context, as streams of 0.1 never do, is in the one that the call named. */
function inContext({ a2a }: CallHead, observed: Observed): Observed {
  const named = a2a?.named.context;
  const { task, context } = observed;
  if (named === undefined || task === undefined || context !== undefined || a2a?.known?.task !== undefined)
    return observed;
  return { ...observed, context: upstreamNameOf(named, a2a?.known?.renames?.contexts) };
}

/** Nothing but its state can be new. */
function isKnown(known: KnownTask["task"], { task, context }: Observed): boolean {
  return known !== undefined && task === known.id && (context === undefined || context === known.context);
}

/** What clients of 0.1 chose to call what the agent has named otherwise. */
function namesBy({ a2a }: CallHead, { task, context }: Observed): Renames | undefined {
  if (a2a?.dialect.version !== "0.1") return undefined;
  const { named, known } = a2a;
  const tasks = known?.task === undefined ? renamed(named.task, task) : [];
  const asContext = known?.renames?.contexts?.find(({ client }) => client === named.context)?.upstream;
  const contexts = asContext === context ? [] : renamed(named.context, context);
  if (tasks.length + contexts.length === 0) return undefined;
  return { ...(tasks.length > 0 && { tasks }), ...(contexts.length > 0 && { contexts }) };
}

function renamed(client: string | undefined, upstream: string | undefined): Renamed[] {
  return client === undefined || upstream === undefined || client === upstream ? [] : [{ client, upstream }];
}

/** Both; what the newer says of a name counts. */
function joined(older: Renames | undefined, newer: Renames | undefined): Renames | undefined {
  if (older === undefined || newer === undefined) return newer ?? older;
  const both = (kind: keyof Renames) => {
    const names = new Set(newer[kind]?.map(({ client }) => client));
    const all = [...(newer[kind] ?? []), ...(older[kind] ?? []).filter(({ client }) => !names.has(client))];
    return all.length > 0 && { [kind]: all };
  };
  return { ...both("tasks"), ...both("contexts") };
}
