import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "@sluice/telemetry";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { followOperators } from "./operators-file.ts";
import { Operators } from "./operators.ts";

const rootToken = randomBytes(32).toString("hex");
const token = randomBytes(32).toString("hex");
const hashOf = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;

let dir: string;
let file: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-operators-file-"));
  file = join(dir, "operators.yaml");
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const quiet = { onChanged: () => {}, onRefused: () => {} };

/** The operators as this file makes them. */
async function read(text: string): Promise<Operators> {
  await writeFile(file, text);
  const operators = new Operators(rootToken);
  const followed = await followOperators({ file, operators, log: createLog("test", "silent"), ...quiet });
  followed[Symbol.dispose]();
  return operators;
}

const entry = (fields: string, hash = hashOf(token)) => `operators: [{ ${fields}, tokens: ["${hash}"] }]`;

describe("the operators file", () => {
  it("gives each operator a role until the token expires; ADMIN_TOKEN stays", async () => {
    const operators = await read(entry("name: otto, role: auditor, expires: 2030-01-01T00:00:00Z"));
    expect(operators.find(token, Date.UTC(2029, 0))).toMatchObject({ name: "otto", roles: ["auditor"] });
    expect(operators.find(token, Date.UTC(2030, 0))).toBeUndefined();
    expect(operators.find(rootToken)).toMatchObject({ name: "admin", roles: ["admin"] });
    expect(operators.find(hashOf(token))).toBeUndefined();
  });

  it.each(["", "changeme", "password\n", "token"])(
    "A4: keeps control from starting with the hash of %j",
    async (weak) => {
      await expect(read(entry("name: eve, role: admin", hashOf(weak)))).rejects.toThrow(
        /operators\.yaml is not usable:\n {2}operators\.0\.tokens\.0: is the hash of an empty or well-known token/,
      );
    },
  );

  it("A4: a token of fewer than 32 characters opens nothing, whatever its hash", async () => {
    const short = token.slice(0, 31);
    const operators = await read(entry("name: eve, role: admin", hashOf(short)));
    expect(operators.find(short)).toBeUndefined();
    expect(operators.find("")).toBeUndefined();
  });

  it.each([
    ["operators: [{ name: a, role: root, tokens: [] }]", /operators\.0\.role/],
    [`operators: [{ name: admin, role: auditor, tokens: ["${hashOf(token)}"] }]`, /stands for ADMIN_TOKEN/],
    [`operators: [{ name: a, role: admin, tokens: [${token}] }]`, /must be sha256:/],
    [`operators: [{ name: a, role: admin, tokens: ["${hashOf(token)}", "${hashOf(token)}"] }]`, /named twice/],
    ["operators: [}", /is no YAML/],
  ])("is refused whole where it is wrong, and quotes no secret: %s", async (text, reason) => {
    const refused = await read(text).then(() => "", String);
    expect(refused).toMatch(reason);
    expect(refused).not.toContain(token);
  });

  it("is refused where it cannot be read", async () => {
    const operators = new Operators(rootToken);
    const options = { file: join(dir, "missing"), operators, log: createLog("test", "silent"), ...quiet };
    await expect(followOperators(options)).rejects.toThrow(/missing can't be read: ENOENT/);
  });
});
