import type { ConfHistory, RecordedEdition } from "@sluice/bus";
import { Counter, describeError, type Log, type Registry } from "@sluice/telemetry";

const retryMs = 5_000;

export interface EditionRecorderOptions {
  readonly history: ConfHistory;
  readonly log: Log;
  readonly metrics: Registry;
}

/** Records what is in force. Where that fails it is tried again: an edit counts whether it can be recorded or not. */
export class EditionRecorder implements Disposable {
  readonly #options: EditionRecorderOptions;
  readonly #failures: Counter;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: EditionRecorderOptions) {
    this.#options = options;
    this.#failures = new Counter({
      name: "sluice_conf_history_failures_total",
      help: "Times that a version of the configuration could not be recorded; each is tried again",
      registers: [options.metrics],
    });
  }

  async record(edition: RecordedEdition): Promise<void> {
    clearTimeout(this.#retry);
    const { history, log } = this.#options;
    try {
      await history.prepare();
      await history.record(edition);
    } catch (error) {
      this.#failures.inc();
      log.warn({ version: edition.version, error: describeError(error) }, "this version is not recorded yet");
      this.#retry = setTimeout(() => void this.record(edition), retryMs).unref();
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#retry);
  }
}
