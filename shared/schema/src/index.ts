export * from "./audit.ts";
export * from "./connect.ts";
export * from "./logins.ts";
export * from "./migrate.ts";
export * from "./scram.ts";
