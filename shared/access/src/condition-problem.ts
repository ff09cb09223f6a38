/** Why a condition is refused. */
export class ConditionProblem extends Error {
  override readonly name = "ConditionProblem";
  /** Characters of the condition before the place that the problem is at. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}
