export { canonicalJson, isRawNumber, parseDigits, parseExact } from "./canonical.ts";
export { cutElements } from "./cut.ts";
export { explain, type ScanError, type ScanErrorKind } from "./errors.ts";
export { defaultLimits, type Limits } from "./limits.ts";
export { compile, jsonRpcGuards, type Guard, type ItemsOf, type Path, type Plan } from "./plan.ts";
export { raw, text, value, type JsonKind, type JsonRange } from "./range.ts";
export { scan, scanAsync, type Scan, type SliceOptions } from "./scan.ts";
