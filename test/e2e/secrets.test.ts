import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeUpstream, startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runService } from "./service-run.ts";

let house: TestHouse;
let upstream: FakeUpstream;
let secretDir: string;
const strong = "hN4wq8Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga";

beforeAll(async () => {
  secretDir = await mkdtemp(join(tmpdir(), "sluice-secrets-"));
  await writeFile(join(secretDir, "signing"), strong);
  upstream = await FakeUpstream.start();
  const endpoints = [
    { name: "by-env", url: upstream.url, signing: { keyId: "env-key", secret: "${env:SIGNING_SECRET}" } },
    {
      name: "by-file",
      url: upstream.url,
      signing: { keyId: "file-key", secret: `\${file:${secretDir}/signing}`, mode: "strict" },
    },
  ];
  house = await startTestHouse({
    env: { SIGNING_SECRET: strong },
    tenants: { acme: { agents: ["a-1"], mcp: { endpoints } } },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await rm(secretDir, { recursive: true, force: true });
});

const weak: Record<string, string> = {
  empty: "",
  blank: "        \n",
  short: "xK9v2Lq",
  "a well-known word": "changeme",
  "a well-known word, long": "change-me-please-secret",
  "one character repeated": "a".repeat(40),
  "a word repeated": "password".repeat(4),
  counting: "01234567890123456789",
};
const refused = 2;

describe("signing secrets", () => {
  it("A4: egress starts with secrets that are strong", async () => {
    expect((await runService({ house, service: "egress", env: { SIGNING_SECRET: strong } })).code).toBe(null);
  });

  it.each(Object.entries(weak))(
    "A4: a signing secret that is %s keeps egress from starting; it says whose and not what",
    async (_name, secret) => {
      const { code, output } = await runService({ house, service: "egress", env: { SIGNING_SECRET: secret } });
      expect(output).toMatch(/tenant acme, endpoint by-env: \$\{env:SIGNING_SECRET\}: /);
      expect(output).not.toContain("by-file");
      if (secret.trim().length > 5) expect(output).not.toContain(secret);
      expect(code).toBe(refused);
    },
  );

  it("A4: a secret that is not set keeps egress from starting", async () => {
    const { code, output } = await runService({ house, service: "egress", env: { SIGNING_SECRET: undefined } });
    expect(output).toMatch(/tenant acme, endpoint by-env: .*SIGNING_SECRET/);
    expect(code).toBe(refused);
  });

  it("A4: an empty, blank, short or default secret in a file keeps egress from starting; so does a missing file", async () => {
    for (const secret of ["", "\n", "changeme\n", "xK9v2Lq", undefined]) {
      if (secret === undefined) await rm(join(secretDir, "signing"));
      else await writeFile(join(secretDir, "signing"), secret);
      const { code, output } = await runService({ house, service: "egress", env: { SIGNING_SECRET: strong } });
      expect(output, String(secret)).toMatch(/tenant acme, endpoint by-file: /);
      expect(output).not.toContain("by-env");
      if ((secret?.trim().length ?? 0) > 5) expect(output).not.toContain(secret?.trim());
      expect(code, String(secret)).toBe(refused);
    }
    await writeFile(join(secretDir, "signing"), strong);
  });
});

describe("control's token and the bus' passwords", () => {
  const tokens: Record<string, string | undefined> = {
    ...weak,
    missing: undefined,
    "31 characters": "q8Zr2Lx7Vb5Tk9Ym3Pd6Jc1Fs0Ga4hN",
    "a default of enough length": "change-me-change-me-change-me-change-me",
    "two letters": "abababababababababababababababababababab",
  };
  it.each(Object.entries(tokens))(
    "A4: an admin token that is %s keeps control from starting; it names ADMIN_TOKEN and not the value",
    async (_name, token) => {
      const { code, output } = await runService({
        house,
        service: "control",
        env: { ADMIN_TOKEN: token, ADMIN_PORT: "0", CONF_DIR: house.confDir },
      });
      expect(output).toContain("ADMIN_TOKEN");
      if ((token?.trim().length ?? 0) > 5) expect(output).not.toContain(token);
      expect(code).toBe(refused);
    },
  );

  it("A4: a token from an empty file keeps control from starting", async () => {
    const file = join(secretDir, "empty-token");
    await writeFile(file, "\n");
    const { code, output } = await runService({
      house,
      service: "control",
      env: { ADMIN_TOKEN_FILE: file, ADMIN_PORT: "0", CONF_DIR: house.confDir },
    });
    expect(output).toContain("ADMIN_TOKEN");
    expect(code).toBe(refused);
  });

  it.each(["", "short", "changeme", "password", "aaaaaaaaaaaaaaaa", "        "])(
    'A4: the NATS password "%s" keeps a service from starting; it names NATS_PASSWORD',
    async (password) => {
      const { code, output } = await runService({ house, service: "policy", env: { NATS_PASSWORD: password } });
      expect(output).toContain("NATS_PASSWORD");
      expect(code).toBe(refused);
    },
  );
});

describe("agents' keys", () => {
  const known = ["", "\n", "changeme", "admin", "secret", "test", "password", "default", "api-key", "12345678"];

  it("A4: the hash of an empty or default key keeps control from starting; every line that holds one is named", async () => {
    const apiKeys = known.map((key) => `          - sha256:${createHash("sha256").update(key).digest("hex")}`);
    const endpoint = `    mcp: { endpoints: [{ name: main, url: "${upstream.url}" }] }`;
    await writeFile(
      join(secretDir, "tenants.yaml"),
      ["tenants:", "  acme:", endpoint, "    agents:", "      - id: a-1", "        apiKeys:", ...apiKeys, ""].join(
        "\n",
      ),
    );
    const env = { ADMIN_TOKEN: `${strong}${strong}`, ADMIN_PORT: "0", CONF_DIR: secretDir };
    const { code, output } = await runService({ house, service: "control", env });
    for (const [index, key] of known.entries())
      expect(output, JSON.stringify(key)).toMatch(
        new RegExp(`tenants\\.yaml:${7 + index}:\\d+: tenants\\.acme\\.agents\\.0\\.apiKeys\\.${index}: `),
      );
    expect(code).toBe(refused);
  });

  it("A4: a key in clear or a literal secret is refused, and not repeated in the log", async () => {
    const cases = [
      ["apiKeys: [slk_plainly-written-key]", ""],
      [`apiKeys: [sha256:${"0".repeat(64)}]`, `, signing: { keyId: k, secret: ${strong} }`],
    ] as const;
    for (const [keys, signing] of cases) {
      await writeFile(
        join(secretDir, "tenants.yaml"),
        `tenants:\n  acme:\n    mcp: { endpoints: [{ name: main, url: "${upstream.url}"${signing} }] }\n    agents: [{ id: a-1, ${keys} }]\n`,
      );
      const { code, output } = await runService({
        house,
        service: "control",
        env: { ADMIN_TOKEN: `${strong}x`, ADMIN_PORT: "0", CONF_DIR: secretDir },
      });
      expect(output, keys).toMatch(/tenants\.yaml:\d+:\d+: /);
      expect(output).not.toMatch(/slk_plainly|hN4wq8/);
      expect(code, keys).toBe(refused);
    }
  });
});
