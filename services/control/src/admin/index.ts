import { explainRoute } from "./explain.ts";
import { openApiRoute } from "./openapi.ts";
import type { AdminRoute } from "./route.ts";
import { statusRoute } from "./status.ts";

/** Every route of the admin API. */
export const adminRoutes: readonly AdminRoute[] = [openApiRoute, statusRoute, explainRoute];
