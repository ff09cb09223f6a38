import { sluiceVersion } from "@sluice/contracts";

/** What the gateway says of itself where it speaks for several servers. */
export const gatewayInfo = { name: "sluice", version: sluiceVersion };
/** Member of `_meta` that says what became of each server behind one address. */
export const statusesMember = "sluice/upstreams";
