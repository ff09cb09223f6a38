export * from "./audit.ts";
export * from "./migrate.ts";
export * from "./scram.ts";
