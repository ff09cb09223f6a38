import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  type PushBind,
  type PushBound,
  type PushDrop,
  type PushFind,
  type PushFound,
  type PushList,
  type PushListed,
  type PushSave,
  type PushSaved,
  type TaskRegister,
  type TaskRegistered,
} from "@sluice/contracts";

const timeoutMs = 2_000;

/** Speaks with session-manager about webhooks. Each word throws `unavailable` where it gets no answer. */
export class PushRegistry {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Keeps whose a task is that an agent tells of before it has answered. */
  register(task: TaskRegister): Promise<TaskRegistered> {
    return this.#ask("tasks-register", task);
  }

  save(push: PushSave): Promise<PushSaved> {
    return this.#ask("push-save", push);
  }

  bind(push: PushBind): Promise<PushBound> {
    return this.#ask("push-bind", push);
  }

  drop(push: PushDrop): Promise<unknown> {
    return this.#ask("push-drop", push);
  }

  list(push: PushList): Promise<PushListed> {
    return this.#ask("push-list", push);
  }

  delete(push: PushList): Promise<unknown> {
    return this.#ask("push-delete", push);
  }

  find(push: PushFind): Promise<PushFound> {
    return this.#ask("push-find", push);
  }

  async #ask<Answer>(verb: string, question: object): Promise<Answer> {
    const subject = subjects.ask("session-manager", verb);
    const answer = await this.#bus.ask(subject, encodeJson(question), { timeoutMs }).catch((cause: unknown) => {
      throw new Fault("unavailable", "webhooks cannot be kept at the moment", { cause });
    });
    return decodeJson<Answer>(answer.data);
  }
}
