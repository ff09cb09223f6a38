import { expect, test } from "vitest";
import { newEnough } from "./binaries.ts";
import { isAtLeast, versionIn } from "./version.ts";

test.each([
  ["nats-server: v2.10.27", "2.10.27"],
  ["Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"],
  ["postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"],
  ["command not found", undefined],
])("finds the version in %j", (text, version) => {
  expect(versionIn(text)).toBe(version);
});

test.each([
  ["2.10.0", "2.10", true],
  ["2.9.10", "2.10", false],
  ["15.4", "15.0", true],
  ["7", "7.0", true],
  ["6.2.14", "7.0", false],
])("%s against the minimum %s: %s", (version, minimum, expected) => {
  expect(isAtLeast(version, minimum)).toBe(expected);
});

test("what is too old is refused with its path, its version and what is needed", () => {
  const { usable, refused } = newEnough(
    [{ path: "/usr/sbin/nats-server", version: "2.9.10", source: "machine" }],
    "2.10",
  );
  expect(usable).toEqual([]);
  expect(refused).toEqual(["/usr/sbin/nats-server is 2.9.10, 2.10 or newer is needed"]);
});
