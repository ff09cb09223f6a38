import { sectionBounds } from "@sluice/bus";
import { confSchema, type Conf } from "@sluice/contracts";
import { expect, it } from "vitest";
import { checkSizes } from "./check-sizes.ts";

const confWith = (deniedTools: string[], tenants = ["acme"]): Conf => {
  const tenant = { mcp: { endpoints: [{ name: "main", url: "https://upstream.example.com/mcp" }] } };
  const parsed = confSchema.parse({ tenants: Object.fromEntries(tenants.map((name) => [name, tenant])) });
  for (const one of Object.values(parsed.tenants))
    one.accessRules.push({ agentPattern: "*", allowedTools: [], deniedTools });
  return parsed;
};

it("what one service would have to be given beyond its bound is refused, with the bound", () => {
  const pattern = "x".repeat(250);
  expect(checkSizes(confWith(Array.from({ length: 100_000 }, () => pattern)))).toEqual([]);
  const findings = checkSizes(confWith(Array.from({ length: 140_000 }, () => pattern)));
  expect(findings).toEqual([{ path: ["tenants", "acme"], reason: expect.any(String) }]);
  expect(findings[0]?.reason).toContain(`policy needs of this tenant may have ${sectionBounds.sectionBytes} bytes`);
});

it("more tenants than the list of their names can hold are refused", () => {
  const names = Array.from({ length: 10_000 }, (_, index) => `${"t".repeat(50)}-${index}`);
  const findings = checkSizes(confWith([], names));
  expect(findings[0]).toEqual({ path: ["tenants"], reason: expect.stringContaining("too many tenants") });
});
