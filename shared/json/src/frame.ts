import type { PlanNode } from "./plan.ts";
import type { JsonRange } from "./range.ts";

/** An object or array that is open; frames are used again, one per depth. */
export class Frame {
  array = false;
  node: PlanNode | undefined = undefined;
  range: JsonRange | undefined = undefined;
  list: JsonRange[] | undefined = undefined;
  count = 0;
  base = 0;
  names: Set<string> | undefined = undefined;
}
