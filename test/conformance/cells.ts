import { fixtureNames, type FixtureName } from "./fixtures/fixture.ts";
import { eraOfSuite, suiteNames, type SuiteName } from "./suites.ts";

/** Turns the cells on in which agent and upstream are of different eras, also in `npm test`. */
export const crossEraIsOn: boolean = true;

/** A suite, which plays the agent, and a fixture, which plays the upstream. */
export interface Cell {
  readonly name: string;
  readonly suite: SuiteName;
  readonly fixture: FixtureName;
  /** Whether Sluice must translate. */
  readonly isCrossEra: boolean;
  /** What the score is held against: the same things served in the suite's own era, without Sluice. */
  readonly reference: FixtureName;
}

export const cells: readonly Cell[] = suiteNames.flatMap((suite) =>
  fixtureNames.map((fixture) => {
    const era = eraOfSuite(suite);
    const isCrossEra = fixture !== "dual" && fixture !== era;
    return { name: `${suite}/${fixture}`, suite, fixture, isCrossEra, reference: isCrossEra ? era : fixture };
  }),
);
