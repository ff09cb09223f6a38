export * from "./config.ts";
export * from "./run.ts";
export * from "./guard.ts";
export * from "./health.ts";
export * from "./serve.ts";
