import { z } from "zod";
import { adminRoute } from "./route.ts";

export const openApiRoute = adminRoute({
  method: "GET",
  path: "/v1/openapi.json",
  summary: "This document: every route of the admin API, as OpenAPI 3.1",
  role: "auditor",
  answer: z.record(z.string(), z.unknown()),
  handle: (_input, { openApi }) => openApi(),
});
