import { ToolPinStore, type AuditLog } from "@sluice/bus";
import { decodeJson, encodeJson, Fault, observationSchema, subjects, type ObservationAnswer } from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import type { ControlConfig } from "../config.ts";
import type { RegistryOptions, ToolRegistry } from "./registry.ts";

type ControlContext = Context<ControlConfig & BaseConfig>;

/** The buckets are opened when they are first needed: control makes them when JetStream is there. */
export function openToolPins({ bus, log }: ControlContext, audit: AuditLog): RegistryOptions {
  let opened: Promise<ToolPinStore> | undefined;
  const store = () => {
    opened ??= ToolPinStore.open(bus).catch((error: unknown) => {
      opened = undefined;
      throw new Fault("unavailable", "what is kept of tools is not reachable: try again", { cause: error });
    });
    return opened;
  };
  return {
    store,
    log,
    now: Date.now,
    record: (actions) => audit.addNow(...actions.map((action) => ({ event: "action" as const, ...action }))),
  };
}

/** Answers egress, which tells what servers show. */
export function serveObservations({ bus, log, scope }: ControlContext, registry: ToolRegistry): void {
  const serving = bus.serve(subjects.ask("control", "observe"), async ({ data, reply }) => {
    if (reply === undefined) return;
    let answer: ObservationAnswer = {};
    try {
      answer = { pins: await registry.observe(observationSchema.parse(decodeJson(data))) };
    } catch (error) {
      log.error({ error: describeError(error) }, "definitions of tools could not be put on record");
    }
    bus.tell(reply, encodeJson(answer));
  });
  scope.defer(() => serving.drain());
}
