import { auditCallRoute, auditContentRoute } from "./audit-call.ts";
import { auditEraseRoute, auditPersonRoute } from "./audit-erase.ts";
import { auditPageRoutes } from "./audit-pages.ts";
import { explainRoute } from "./explain.ts";
import { confDiffRoute } from "./conf-diff.ts";
import { confHistoryRoute } from "./conf-history.ts";
import { confRollbackRoute } from "./conf-rollback.ts";
import { confShowRoute } from "./conf-show.ts";
import { revokeKeyRoute, revokeTokenRoute } from "./credential-revoke.ts";
import { listKeysRoute, listTokensRoute } from "./credentials-list.ts";
import { createKeyRoute } from "./key-create.ts";
import { rotateKeyRoute } from "./key-rotate.ts";
import { openApiRoute } from "./openapi.ts";
import type { AdminRoute } from "./route.ts";
import { statusRoute } from "./status.ts";
import { createTokenRoute } from "./token-create.ts";
import { toolRoutes } from "./tools.ts";

/** Every route of the admin API. */
export const adminRoutes: readonly AdminRoute[] = [
  openApiRoute,
  statusRoute,
  explainRoute,
  confHistoryRoute,
  confShowRoute,
  confDiffRoute,
  confRollbackRoute,
  listKeysRoute,
  createKeyRoute,
  rotateKeyRoute,
  revokeKeyRoute,
  listTokensRoute,
  createTokenRoute,
  revokeTokenRoute,
  ...toolRoutes,
  ...auditPageRoutes,
  auditCallRoute,
  auditContentRoute,
  auditPersonRoute,
  auditEraseRoute,
];
