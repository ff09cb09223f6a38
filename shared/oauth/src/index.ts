export * from "./authorization-server.ts";
export * from "./client.ts";
export * from "./guarded-servers.ts";
export * from "./server-problem.ts";
