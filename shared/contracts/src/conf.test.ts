import { expect, it } from "vitest";
import { confSchema } from "./conf.ts";

const conf = (name: string) => ({
  tenants: { acme: { mcp: { endpoints: [{ name, url: "https://tools.example.com" }] } } },
});

it.each(["initialize", "tools", "resources", "registration", "sse", "messages"])(
  "no endpoint can be called %s: that is a path of the gateway's own",
  (name) => {
    const { error } = confSchema.safeParse(conf(name));
    expect(error?.issues).toMatchObject([{ path: ["tenants", "acme", "mcp", "endpoints", 0, "name"] }]);
    expect(confSchema.safeParse(conf(`${name}-1`)).success).toBe(true);
  },
);
