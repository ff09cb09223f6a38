import type { EventFormat } from "@sluice/contracts";
import { cef } from "./cef.ts";
import { cloudEvents } from "./cloudevents.ts";
import type { OpenFormat } from "./format.ts";
import { ocsf } from "./ocsf.ts";
import { structuredJson } from "./structured-json.ts";

/** The formats that there are. */
export const formats: Readonly<Record<EventFormat, OpenFormat>> = {
  "structured-json": structuredJson,
  cloudevents: cloudEvents,
  ocsf,
  cef,
};
