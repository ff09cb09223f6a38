import type { z } from "zod";
import type { AdminParts } from "./parts.ts";
import type { Operator, Role } from "./operators.ts";

/** What a route is given: parameters, query and body as their schemas have made them, and who asks. */
export interface RouteInput<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly operator: Operator;
}

type Parsed<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

interface RouteSpec<Params, Query, Body, Answer extends z.ZodType> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Parameters as in `/v1/tenants/:tenant/keys`. */
  readonly path: `/v1/${string}`;
  /** A line for the OpenAPI document. */
  readonly summary: string;
  /** Who may call it: an admin may do what an auditor may, and so may a content-auditor. */
  readonly role: Role;
  readonly params?: Params;
  readonly query?: Query;
  /** Strict objects, so that a misspelt field is told. */
  readonly body?: Body;
  readonly answer: Answer;
  /** HTTP status of success; 200 unless said. */
  readonly status?: 200 | 201;
  /** Set where the route changes something, or tells what not everybody is to read: then it is on record before it is carried out. */
  readonly change?: {
    /** `<what>.<verb>`, such as `keys.create`. */
    readonly action: string;
    /** What it is done to; never a secret. The tenant is taken from the parameter of that name. */
    subject?(input: RouteInput<Parsed<Params>, Parsed<Query>, Parsed<Body>>): string | undefined;
    /** The tenant, where no parameter names it. @throws Fault: then it is refused */
    tenant?(
      input: RouteInput<Parsed<Params>, Parsed<Query>, Parsed<Body>>,
      parts: AdminParts,
    ): Promise<string | undefined>;
    /** The same as `subject`, where only the answer tells it. */
    made?(answer: z.input<Answer>): string | undefined;
  };
  /** @throws Fault, which is answered with its status */
  handle(
    input: RouteInput<Parsed<Params>, Parsed<Query>, Parsed<Body>>,
    parts: AdminParts,
  ): z.input<Answer> | Promise<z.input<Answer>>;
}

/** A route of the admin API, whatever its schemas. */
export type AdminRoute = RouteSpec<z.ZodType | undefined, z.ZodType | undefined, z.ZodType | undefined, z.ZodType>;

/** Lets the compiler fit `handle` and `change` to the schemas. */
export function adminRoute<
  Answer extends z.ZodType,
  Params extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
>(spec: RouteSpec<Params, Query, Body, Answer>): AdminRoute {
  return spec;
}
