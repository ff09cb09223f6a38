import { TaskView } from "@sluice/a2a";
import { expect, it } from "vitest";
import { ViewBudget } from "./watch-views.ts";

it("the views of all tasks stay within their bound: the largest is let go of, and room comes back with the end of a watch", () => {
  const budget = new ViewBudget({ mostBytes: 1_000, mostBytesEach: 900 });
  const viewOf = (bytes: number) => {
    const view = new TaskView({ version: "1.0", binding: "HTTP+JSON" }, budget.mostBytesEach);
    budget.add(view);
    view.apply(Buffer.from(JSON.stringify({ task: { id: "x".repeat(bytes) } })));
    budget.changed(view);
    return view;
  };
  const [small, large, middle] = [viewOf(100), viewOf(600), viewOf(400)];
  expect([small, large, middle].map(({ isKept }) => isKept)).toEqual([true, false, true]);
  budget.remove(middle);
  expect(viewOf(700).isKept).toBe(true);
  expect(small.isKept).toBe(true);
});
