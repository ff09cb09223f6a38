import { describe, expect, it } from "vitest";
import { compare, confirmed, review } from "./compare.ts";
import type { Check } from "./suites.ts";

const check = (id: string, status: Check["status"], errorMessage?: string): Check => ({
  scenario: "tools-list",
  id,
  name: id.toUpperCase(),
  status,
  ...(errorMessage !== undefined && { errorMessage }),
});

describe("two runs of a suite", () => {
  it("differ where a check has another status, is absent or is new, though the totals be the same", () => {
    const direct = [check("a", "SUCCESS"), check("b", "FAILURE"), check("gone", "SUCCESS")];
    const through = [check("a", "FAILURE", "no tools"), check("b", "SUCCESS"), check("new", "SUCCESS")];
    expect(compare(direct, through)).toEqual([
      { check: "tools-list a", direct: "SUCCESS", through: "FAILURE", error: "no tools" },
      { check: "tools-list b", direct: "FAILURE", through: "SUCCESS", error: undefined },
      { check: "tools-list gone", direct: "SUCCESS", through: "absent", error: undefined },
      { check: "tools-list new", direct: "absent", through: "SUCCESS", error: undefined },
    ]);
  });

  it("are held against each other one by one where an id comes several times", () => {
    const direct = [check("a", "SUCCESS"), check("a", "SUCCESS")];
    expect(compare(direct, [check("a", "SUCCESS"), check("a", "FAILURE")])).toMatchObject([
      { check: "tools-list a #2", through: "FAILURE" },
    ]);
    expect(compare(direct, direct.slice(1))).toMatchObject([{ check: "tools-list a #2", through: "absent" }]);
  });
});

describe("the review of differences", () => {
  const differences = compare([check("a", "SUCCESS"), check("b", "SUCCESS")], [check("a", "FAILURE")]);

  it("accepts those with a reason in the baseline, and no other", () => {
    const { accepted, unexpected, stale } = review(differences, { "tools-list a": "the era has no such thing" });
    expect(accepted).toMatchObject([{ check: "tools-list a" }]);
    expect(unexpected).toMatchObject([{ check: "tools-list b" }]);
    expect(stale).toEqual([]);
  });

  it("names the reasons that nothing needs any more", () => {
    expect(review(differences, { "tools-list c": "was so once" }).stale).toEqual(["tools-list c"]);
  });
});

describe("a second look", () => {
  it("leaves only what differs again", () => {
    const direct = [check("a", "SUCCESS"), check("b", "SUCCESS")];
    const first = compare(direct, [check("a", "FAILURE"), check("b", "WARNING")]);
    const second = compare(direct, [check("a", "FAILURE"), check("b", "SUCCESS")]);
    expect(confirmed(first, second)).toMatchObject([{ check: "tools-list a" }]);
  });
});
