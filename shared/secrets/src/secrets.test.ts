import { createLog, createMetrics, type Registry } from "@sluice/telemetry";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Told } from "./provider.ts";
import { SecretProblem, Secrets } from "./secrets.ts";

/** Tells what the test says, when the test says it. */
class Place {
  readonly watched = new Map<string, Told>();
  looked: string[] = [];
  watch = (place: string, told: Told) => {
    this.watched.set(place, told);
    return { again: () => void this.looked.push(place), [Symbol.dispose]: () => void this.watched.delete(place) };
  };
  tell(place: string): Told {
    const told = this.watched.get(place);
    if (told === undefined) throw new Error(`nobody watches ${place}`);
    return told;
  }
}

let place: Place;
let secrets: Secrets;
let metrics: Registry;
let changed: string[];
const env = { NAME: "value-of-name", EMPTY: " " };
const shown = async (name: string) =>
  (await metrics.metrics()).split("\n").filter((line) => line.startsWith(`${name}{`));

beforeEach(() => {
  place = new Place();
  metrics = createMetrics("test");
  secrets = new Secrets({ env, log: createLog("test", "silent"), metrics, providers: { file: () => place } });
  changed = [];
  secrets.onChange((reference) => void changed.push(reference));
});
afterEach(() => secrets[Symbol.asyncDispose]());

describe("secrets by reference", () => {
  test("give what the environment holds; what is missing, empty or no reference is a problem named by its reference", async () => {
    await secrets.use("conf", ["${env:NAME}", "${env:NONE}", "${env:EMPTY}", "literal-secret"]);
    expect(secrets.value("${env:NAME}")).toBe("value-of-name");
    expect(() => secrets.value("${env:NONE}")).toThrow("${env:NONE}: the environment variable is not set");
    expect(() => secrets.value("${env:EMPTY}")).toThrow("${env:EMPTY}: the environment variable is empty");
    expect(() => secrets.value("literal-secret")).toThrow("must be a reference");
    expect(changed).toEqual([]);
  });

  test("wait for the first word of each new reference, and no longer than told", async () => {
    const using = secrets.use("conf", ["${file:/slow}"]);
    place.tell("/slow").value("one");
    await using;
    expect(secrets.value("${file:/slow}")).toBe("one");
    await secrets.use("conf", ["${file:/slow}", "${file:/never}"], 1);
    expect(() => secrets.value("${file:/never}")).toThrow(SecretProblem);
    place.tell("/never").value("late");
    expect(secrets.value("${file:/never}")).toBe("late");
    expect(changed).toEqual(["${file:/never}"]);
  });

  test("keep the last value while there is none, say so, and tell of each change once", async () => {
    const using = secrets.use("conf", ["${file:/a}"]);
    place.tell("/a").value("one");
    await using;
    place.tell("/a").problem("there is no such file");
    expect(secrets.value("${file:/a}")).toBe("one");
    expect([...secrets.states()]).toEqual([
      {
        reference: "${file:/a}",
        usable: true,
        problem: { reason: "there is no such file", isTemporary: false },
      },
    ]);
    expect(await shown("sluice_secret_unreadable")).toEqual([
      'sluice_secret_unreadable{reference="${file:/a}",usable="true",service="test"} 1',
    ]);
    place.tell("/a").value("one");
    expect(changed).toEqual([]);
    expect(await shown("sluice_secret_unreadable")).toEqual([]);
    place.tell("/a").value("two");
    expect([secrets.value("${file:/a}"), changed]).toEqual(["two", ["${file:/a}"]]);
  });

  test("go on to be followed where somebody fails to take a changed one over", async () => {
    const using = secrets.use("conf", ["${file:/a}"]);
    place.tell("/a").value("one");
    await using;
    const failing = secrets.onChange(() => {
      throw new Error("not mine");
    });
    const heard: string[] = [];
    secrets.onChange((reference) => void heard.push(reference));
    place.tell("/a").value("two");
    failing[Symbol.dispose]();
    place.tell("/a").value("three");
    expect([secrets.value("${file:/a}"), heard.length, changed.length]).toEqual(["three", 2, 2]);
  });

  test("are forgotten when nobody names them any more, not before their users have the new ones", async () => {
    const using = Promise.all([secrets.use("a", ["${file:/1}", "${file:/2}"]), secrets.use("b", ["${file:/2}"])]);
    for (const path of ["/1", "/2"]) place.tell(path).value(path);
    await using;
    const moving = secrets.use("a", ["${file:/3}"]);
    expect(secrets.value("${file:/1}")).toBe("/1");
    place.tell("/3").value("/3");
    await moving;
    expect([...place.watched.keys()]).toEqual(["/2", "/3"]);
    await secrets.use("b", []);
    expect([...place.watched.keys()]).toEqual(["/3"]);
    expect(() => secrets.value("${file:/2}")).toThrow(SecretProblem);
  });

  test("are those of the newest word, also where an older one waits for its own still", async () => {
    const older = secrets.use("conf", ["${file:/slow}"]);
    const newer = secrets.use("conf", ["${env:NAME}"]);
    expect(await newer).toBe(true);
    expect([...place.watched.keys()]).toEqual([]);
    expect(await older).toBe(false);
    expect(secrets.value("${env:NAME}")).toBe("value-of-name");
  });

  test("that were refused are looked at again at once, but not at every refusal", async () => {
    const using = secrets.use("conf", ["${file:/a}"]);
    place.tell("/a").value("one");
    await using;
    for (let refusals = 0; refusals < 5; refusals++) secrets.again("${file:/a}");
    expect(place.looked).toEqual(["/a"]);
  });
});
