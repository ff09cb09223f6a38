export * from "./fake-upstream.ts";
export * from "./test-authority.ts";
export * from "./fake-vault.ts";
export * from "./test-house.ts";
export * from "./until.ts";
export * from "./stored-trail.ts";
