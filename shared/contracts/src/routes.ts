import { z } from "zod";

/** The HTTP methods that agents may use anywhere. */
export const httpMethods = ["GET", "POST", "DELETE"] as const;
export type HttpMethod = (typeof httpMethods)[number];

/** What agents can reach over MCP, and by which HTTP methods; `:server` stands for an endpoint's name. */
export const mcpRoutes = {
  "/mcp": ["GET", "POST", "DELETE"],
  "/mcp/:server": ["GET", "POST", "DELETE"],
  "/mcp/sse": ["GET"],
  "/mcp/:server/sse": ["GET"],
  "/mcp/messages": ["POST"],
  "/mcp/initialize": ["POST"],
  "/mcp/tools/list": ["GET", "POST"],
  "/mcp/tools/call": ["POST"],
  "/mcp/resources/list": ["GET", "POST"],
  "/mcp/resources/read": ["POST"],
  "/mcp/registration": ["GET"],
  "/mcp/:server/registration": ["GET"],
} as const satisfies Record<string, readonly HttpMethod[]>;
export type McpRoute = keyof typeof mcpRoutes;

/** The same for A2A; `:agent` stands for an endpoint's name, and what is behind it is REST's. */
export const a2aRoutes = {
  "/a2a": ["POST"],
  "/a2a/:agent": ["POST"],
  "/a2a/:agent/*": ["GET", "POST", "DELETE"],
  "/a2a/agent-card": ["GET"],
  "/a2a/tasks/send": ["POST"],
  "/a2a/tasks/sendSubscribe": ["POST"],
  "/a2a/tasks/get": ["GET", "POST"],
  "/a2a/tasks/cancel": ["POST"],
} as const satisfies Record<string, readonly HttpMethod[]>;
export type A2aRoute = keyof typeof a2aRoutes;

const methods = z.array(z.enum(httpMethods));

/** By which HTTP methods agents may call, at every path of the tenant. */
export const allowedMethodsSchema = methods.min(1).default([...httpMethods]);

/** One path, with the methods that it is left. */
export const routeSchema = z.strictObject({
  path: z
    .string()
    .regex(
      /^\/(?:mcp|a2a)(?:\/[A-Za-z0-9-]+){0,3}$/,
      "must be a path that agents call, such as /mcp or /mcp/tools/list",
    ),
  /** An empty list closes the path. */
  methods,
});

/** What of the HTTP methods an edit took away, where it took any: at every path, and at single ones. */
export const methodSectionSchema = z.object({
  everywhere: z.array(z.enum(httpMethods)),
  at: z.record(z.string(), z.array(z.enum(httpMethods))),
});
export type MethodSection = z.infer<typeof methodSectionSchema>;
