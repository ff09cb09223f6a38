export * from "./admission.ts";
export * from "./audit.ts";
export * from "./call.ts";
export * from "./conf.ts";
export * from "./faults.ts";
export * from "./subjects.ts";
export * from "./sections.ts";
export * from "./wire.ts";
