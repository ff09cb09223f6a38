import { definitionHashSchema, isQuarantined, longestTarget, toolPinSchema, type ToolPin } from "@sluice/contracts";
import { z } from "zod";
import { diffDefinitions } from "../tool-pins/definition-diff.ts";
import { decide, requirePin } from "../tool-pins/decisions.ts";
import { adminRoute } from "./route.ts";

/** What a pin's definitions come to: `approved` is in use, the others are not. */
const stateSchema = z.enum(["approved", "quarantined", "rejected"]);
const name = z.string().regex(/^[a-z0-9-]{1,63}$/, "must be a name of tenants.yaml");
const params = z.object({ tenant: name, server: name, tool: z.string().min(1).max(longestTarget) });
const tool = toolPinSchema.extend({ server: z.string(), state: stateSchema });

function shown(server: string, pin: ToolPin): z.input<typeof tool> {
  const isApproved = pin.definitions.some(({ state }) => state === "approved");
  return { ...pin, server, state: isQuarantined(pin) ? "quarantined" : isApproved ? "approved" : "rejected" };
}

const list = adminRoute({
  method: "GET",
  path: "/v1/tenants/:tenant/tools",
  summary: "The tools of servers whose definitions are looked at, with each definition that was seen",
  role: "auditor",
  params: z.object({ tenant: name }),
  query: z.object({ server: name.optional(), state: stateSchema.optional() }),
  answer: z.object({ tools: z.array(tool) }),
  handle: async ({ params: { tenant }, query }, { toolPins }) => {
    const pins = await (await toolPins.store()).all(tenant, query.server);
    const tools = pins.map(({ server, pin }) => shown(server, pin));
    const key = (one: (typeof tools)[number]) => `${one.server}\0${one.tool}`;
    return {
      tools: tools
        .filter(({ state }) => query.state === undefined || state === query.state)
        .toSorted((one, other) => (key(one) < key(other) ? -1 : 1)),
    };
  },
});

const diff = adminRoute({
  method: "GET",
  path: "/v1/tenants/:tenant/tools/:server/:tool/diff",
  summary: "How a definition differs: unless asked, the newest that waits from the one approved last",
  role: "auditor",
  params,
  query: z.object({ from: definitionHashSchema.optional(), to: definitionHashSchema.optional() }),
  answer: z.object({
    from: z.string().optional().describe("absent where there is nothing to compare with"),
    to: z.string(),
    diff: z.string().describe("unified, of pretty JSON with sorted members"),
  }),
  handle: async ({ params: place, query }, { toolPins }) => {
    const store = await toolPins.store();
    const { pin } = await requirePin(store, place, place.tool);
    return await diffDefinitions(store, { place, pin }, query);
  },
});

/** Which tool, and which definition of it, for the record; the whole is in what is noted of the decision. */
const subjectOf = ({ server, tool: of }: z.output<typeof params>) => `${server}/${of}`.slice(0, 256);

const approve = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/tools/:server/:tool/approve",
  summary: "Approves a definition of a tool; what else waits for it is rejected",
  role: "admin",
  params,
  body: z.strictObject({ definition: definitionHashSchema.describe("what was looked at: see diff") }),
  answer: tool,
  change: { action: "tools.approve", subject: ({ params: of }) => subjectOf(of) },
  handle: async ({ params: of, body: { definition }, operator }, { toolPins }) =>
    shown(of.server, await decide(toolPins, { ...of, definition, state: "approved", operator: operator.name })),
});

const reject = adminRoute({
  method: "POST",
  path: "/v1/tenants/:tenant/tools/:server/:tool/reject",
  summary:
    "Rejects a definition of a tool, or all that wait: the tool is in use again where its server shows an approved one",
  role: "admin",
  params,
  body: z.strictObject({ definition: definitionHashSchema.optional() }),
  answer: tool,
  change: { action: "tools.reject", subject: ({ params: of }) => subjectOf(of) },
  handle: async ({ params: of, body: { definition }, operator }, { toolPins }) =>
    shown(of.server, await decide(toolPins, { ...of, definition, state: "rejected", operator: operator.name })),
});

export const toolRoutes = [list, diff, approve, reject];
