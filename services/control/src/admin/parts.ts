import type { Configuration } from "../configuration.ts";
import type { RegistryOptions } from "../tool-pins/registry.ts";

/** What routes work with; main parts of control, and nothing of HTTP. */
export interface AdminParts {
  readonly configuration: Configuration;
  /** Replicas alive, by service. */
  replicas(): Readonly<Record<string, number>>;
  /** What is kept of tools' definitions. */
  readonly toolPins: RegistryOptions;
  /** The OpenAPI document of all routes. */
  openApi(): Record<string, unknown>;
}
