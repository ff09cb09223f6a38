export * from "./address-guard.ts";
export * from "./guarded-connector.ts";
export * from "./networks.ts";
