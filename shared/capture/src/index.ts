export { Captures, mostCapturedFrom, type Capturable, type Skipped } from "./captures.ts";
export { answeredPart, digestOf, mostScannedBytes } from "./digest.ts";
export { FieldPath, FieldPathProblem } from "./field-path.ts";
