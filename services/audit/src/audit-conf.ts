import { setTimeout as delay } from "node:timers/promises";
import { watchSection, type SectionMap } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";

type ConfContext = Pick<Context<BaseConfig>, "bus" | "log" | "scope" | "stopping">;

const retryMs = 1_000;

/**
 * Follows what the configuration says of each log, `_gateway` among them. Events are stored without it: nobody waits for its
 * first reading.
 */
export function followAuditConf(context: ConfContext, onChange: (logs: SectionMap<"audit">) => void): void {
  const { bus, log, scope, stopping } = context;
  let sections: AsyncDisposable | undefined;
  scope.defer(() => sections?.[Symbol.asyncDispose]());
  const follow = async () => {
    while (!stopping.aborted && sections === undefined) {
      try {
        sections = await watchSection(bus, "audit", onChange);
      } catch (error) {
        log.warn({ error: describeError(error) }, "the configuration can't be read yet; trying again");
        await delay(retryMs, undefined, { ref: false });
      }
    }
  };
  void follow();
}
