import type { SuiteName } from "../suites.ts";

/** Those of the suites without authorization: the agent's token never goes upstream. */
export const clientScenarios: Readonly<Record<SuiteName, readonly string[]>> = {
  "0.1.16": ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry"],
  "2025-11-25": [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "json-schema-2020-12-preservation",
  ],
  "2026-07-28": [
    "tools_call",
    "request-metadata",
    "sep-2322-client-request-state",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
  ],
};

/** Names of the environment by which the runner tells the client where to go. */
export const environment = {
  suite: "CONFORMANCE_SUITE",
  /** Where Sluice serves the scenario; without it the client goes to the suite's server directly. */
  sluiceUrl: "CONFORMANCE_SLUICE_URL",
  key: "CONFORMANCE_KEY",
  /** Takes the address of the suite's server as the body of a PUT. */
  pointUrl: "CONFORMANCE_POINT_URL",
} as const;
