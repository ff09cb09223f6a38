import { describeError, type Log } from "@sluice/telemetry";
import type { Changes, Place } from "./changes.ts";

const kinds = ["tools", "prompts", "resources"];

/** Which servers answered when they were last asked for a shared address; a turn is logged, and told as a change of the lists. */
export class Standing {
  readonly #log: Log;
  readonly #changes: Changes;
  readonly #answers = new Map<string, boolean>();

  constructor(log: Log, changes: Changes) {
    this.#log = log;
    this.#changes = changes;
  }

  /** `failure` is why there is no answer; undefined where there is one. */
  note(place: Place, failure: unknown): void {
    const { tenant, server } = place;
    const key = `${tenant}\0${server}`;
    const answers = failure === undefined;
    const before = this.#answers.get(key);
    if (before === answers) return;
    this.#answers.set(key, answers);
    if (!answers)
      this.#log.warn({ tenant, server, error: describeError(failure) }, "server left out of the shared address");
    else if (before === false) this.#log.info({ tenant, server }, "server is back at the shared address");
    if (before === undefined) return;
    for (const kind of kinds) this.#changes.say(place, `notifications/${kind}/list_changed`);
  }
}
