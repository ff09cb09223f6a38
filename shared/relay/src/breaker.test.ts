import { Fault } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { Breaker } from "./breaker.ts";

const openMs = 5_000;

function breakerWith(failures: number) {
  const clock = { now: 1_000_000 };
  const changes: boolean[] = [];
  const onChange = (open: boolean) => changes.push(open);
  const breaker = new Breaker({ failures, openMs, refusal: "not now", onChange, now: () => clock.now });
  const fail = (times: number) => {
    for (let time = 0; time < times; time++) breaker.enter().failed();
  };
  const refusal = () => {
    try {
      breaker.requirePassage();
      return undefined;
    } catch (error) {
      return error as Fault;
    }
  };
  return { breaker, clock, changes, fail, refusal };
}

describe("a breaker", () => {
  it("opens after that many failures in a row and no others (A40)", () => {
    const { breaker, changes, fail, refusal } = breakerWith(3);
    fail(2);
    breaker.enter().succeeded();
    fail(2);
    expect(changes).toEqual([]);
    fail(1);
    expect(changes).toEqual([true]);
    expect(refusal()).toMatchObject({ kind: "upstream_unavailable", details: { retryAfterSeconds: 5 } });
    expect(() => breaker.enter()).toThrow("not now");
  });

  it("lets one probe through at a time; its success closes it", () => {
    const { breaker, clock, changes, fail, refusal } = breakerWith(2);
    fail(2);
    clock.now += openMs;
    const probe = breaker.enter();
    expect(refusal()?.kind).toBe("upstream_unavailable");
    probe.succeeded();
    expect(refusal()).toBeUndefined();
    expect(changes).toEqual([true, false]);
    fail(1);
    expect(breaker.open).toBe(false);
  });

  it("stays open when the probe fails, from then on for its whole time", () => {
    const { breaker, clock, changes, fail, refusal } = breakerWith(2);
    fail(2);
    clock.now += openMs;
    const probe = breaker.enter();
    clock.now += openMs - 1;
    probe.failed();
    clock.now += openMs - 1;
    expect(refusal()?.details).toEqual({ retryAfterSeconds: 1 });
    clock.now += 1;
    expect(refusal()).toBeUndefined();
    expect(changes).toEqual([true]);
  });

  it("does not wait for a probe that takes long or ends without saying anything", () => {
    const { breaker, clock, fail, refusal } = breakerWith(1);
    fail(1);
    clock.now += openMs;
    breaker.enter();
    expect(refusal()).toBeDefined();
    clock.now += openMs;
    expect(refusal()).toBeUndefined();
  });

  it("takes nothing from failures of calls that began before it opened or closed", () => {
    const { breaker, clock, changes, fail, refusal } = breakerWith(2);
    const early = [breaker.enter(), breaker.enter(), breaker.enter(), breaker.enter()];
    fail(2);
    clock.now += openMs;
    early[0]?.failed();
    expect(refusal()).toBeUndefined();
    breaker.enter().succeeded();
    for (const attempt of early) attempt.failed();
    expect(changes).toEqual([true, false]);
  });

  it("counts what a call says once", () => {
    const { breaker, fail } = breakerWith(2);
    const attempt = breaker.enter();
    attempt.failed();
    attempt.failed();
    attempt.succeeded();
    expect(breaker.open).toBe(false);
    fail(1);
    expect(breaker.open).toBe(true);
  });

  it("never opens where it is switched off", () => {
    const { breaker, fail } = breakerWith(0);
    fail(100);
    expect(breaker.open).toBe(false);
  });
});
