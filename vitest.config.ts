import { defineConfig } from "vitest/config";

const OWN_TOOLS = "test/{runner/**/*,bench/**/*,conformance/compare}.test.ts";

/** Two files at a time: those under test/, which may start a whole house each, after the units. */
export default defineConfig({
  test: {
    allowOnly: false,
    passWithNoTests: false,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{shared,services}/*/src/**/*.test.ts", "{cli/src,scripts}/**/*.test.ts", OWN_TOOLS],
          testTimeout: 30_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/**/*.test.ts"],
          exclude: [OWN_TOOLS, "**/node_modules/**"],
          testTimeout: 60_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
