import type { AuditQuestions } from "../audit-questions.ts";
import type { Configuration } from "../configuration.ts";
import type { Editions } from "../editions.ts";
import type { Credentials } from "../credentials.ts";
import type { RegistryOptions } from "../tool-pins/registry.ts";

/** What routes work with; main parts of control, and nothing of HTTP. */
export interface AdminParts {
  readonly configuration: Configuration;
  /** Earlier versions of the configuration. */
  readonly editions: Editions;
  /** Keys and tokens that were made here. */
  readonly credentials: Credentials;
  /** Replicas alive, by service. */
  replicas(): Readonly<Record<string, number>>;
  /** What is kept of tools' definitions. */
  readonly toolPins: RegistryOptions;
  /** The audit trail. */
  readonly trail: Pick<AuditQuestions, "page" | "call" | "content" | "person" | "erase">;
  /** What services say is to be mended. */
  problems(): readonly { readonly service: string; readonly problem: string }[];
  /** The OpenAPI document of all routes. */
  openApi(): Record<string, unknown>;
}
