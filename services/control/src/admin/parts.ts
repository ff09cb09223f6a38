import type { Configuration } from "../configuration.ts";

/** What routes work with; main parts of control, and nothing of HTTP. */
export interface AdminParts {
  readonly configuration: Configuration;
  /** Replicas alive, by service. */
  replicas(): Readonly<Record<string, number>>;
  /** The OpenAPI document of all routes. */
  openApi(): Record<string, unknown>;
}
