import type { SecretKind } from "@sluice/contracts";
import type { Log, Registry } from "@sluice/telemetry";

/** What a provider finds where a reference points, as often as it changes. */
export interface Told {
  value(text: string): void;
  /**
   * Why there is no (newer) value; holds no part of one. What was told before stays in use.
   * @param isTemporary it may pass without anybody mending a reference or a secret
   */
  problem(reason: string, isTemporary?: boolean): void;
}

export interface Problem {
  readonly reason: string;
  readonly isTemporary: boolean;
}

/** One reference under observation, until disposed. */
export interface Watch extends Disposable {
  /** Looks at once, because the value may be outdated. */
  again?(): void;
}

/** One way to keep secrets. */
export interface SecretProvider extends Partial<AsyncDisposable> {
  /** Reads a place and follows it; tells a value or a problem at least once, and may do so before it returns. */
  watch(place: string, told: Told): Watch;
}

export interface ProviderContext {
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  readonly metrics: Registry | undefined;
}

/** Opened when the first reference of its kind is used. */
type OpenProvider = (context: ProviderContext) => SecretProvider;
export type Providers = Readonly<Record<SecretKind, OpenProvider>>;
