import { confDiffRoute } from "./conf-diff.ts";
import { confHistoryRoute } from "./conf-history.ts";
import { confRollbackRoute } from "./conf-rollback.ts";
import { confShowRoute } from "./conf-show.ts";
import { openApiRoute } from "./openapi.ts";
import type { AdminRoute } from "./route.ts";
import { statusRoute } from "./status.ts";

/** Every route of the admin API. */
export const adminRoutes: readonly AdminRoute[] = [
  openApiRoute,
  statusRoute,
  confHistoryRoute,
  confShowRoute,
  confDiffRoute,
  confRollbackRoute,
];
