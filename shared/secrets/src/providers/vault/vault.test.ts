import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "@sluice/telemetry";
import { FakeUpstream, FakeVault, until } from "@sluice/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Secrets } from "../../secrets.ts";

const page = "secret/data/acme";
const reference = `\${vault:${page}#patterns}`;

let vault: FakeVault;
let dir: string;
let opened: Secrets[];

beforeEach(async () => {
  vault = await FakeVault.start();
  dir = await mkdtemp(join(tmpdir(), "sluice-vault-"));
  opened = [];
});
afterEach(async () => {
  for (const secrets of opened) await secrets[Symbol.asyncDispose]();
  await vault[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

/** A service of its own, with an environment of its own. */
async function open(references: string[], env: Record<string, string> = {}) {
  const settings = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken, VAULT_REFRESH_SECONDS: "1", ...env };
  const secrets = new Secrets({ env: settings, log: createLog("test", "silent") });
  opened.push(secrets);
  await secrets.use("conf", references);
  return secrets;
}
const problem = (secrets: Secrets, of = reference) =>
  [...secrets.states()].find((state) => state.reference === of)?.problem?.reason;

describe("a secret in Vault", () => {
  test("is one key of KV version 2 or 1, and all keys of a path are read at once", async () => {
    vault.put(page, { patterns: "of-version-2", other: "also" });
    vault.put("kv/acme", { data: "of-version-1", metadata: "no-metadata" });
    const of1 = ["${vault:kv/acme#data}", "${vault:kv/acme#metadata}"];
    const secrets = await open([reference, `\${vault:${page}#other}`, ...of1], { VAULT_NAMESPACE: "team/a" });
    expect(secrets.value(reference)).toBe("of-version-2");
    expect(secrets.value(`\${vault:${page}#other}`)).toBe("also");
    expect(of1.map((one) => secrets.value(one))).toEqual(["of-version-1", "no-metadata"]);
    expect(vault.count("GET", page)).toBe(1);
    expect(new Set(vault.asked.map(({ namespace }) => namespace))).toEqual(new Set(["team/a"]));
  });

  test("is used anew after it changed there, without a restart", async () => {
    vault.put(page, { patterns: "before" });
    const secrets = await open([reference]);
    const changed = Promise.withResolvers<string>();
    secrets.onChange(changed.resolve);
    vault.put(page, { patterns: "after" });
    expect(await changed.promise).toBe(reference);
    expect(secrets.value(reference)).toBe("after");
  });

  test("is looked at before its time where it was refused", async () => {
    vault.put(page, { patterns: "before" });
    const secrets = await open([reference], { VAULT_REFRESH_SECONDS: "3600" });
    vault.put(page, { patterns: "after" });
    secrets.again(reference);
    await until("the new one", () => secrets.value(reference) === "after");
    expect(vault.count("GET", page)).toBe(2);
  });

  test("stays while Vault is sealed, silent or away, and is read again once it is back", async () => {
    vault.put(page, { patterns: "kept" });
    const secrets = await open([reference], { VAULT_CLIENT_TIMEOUT: "1" });
    vault.sealed = true;
    await until("the seal", () => problem(secrets)?.includes("sealed"));
    vault.sealed = false;
    vault.silent = true;
    await until("the silence", () => problem(secrets)?.includes("does not answer in time"));
    const { port } = new URL(vault.url);
    const { rootToken } = vault;
    await vault[Symbol.asyncDispose]();
    await until("the absence", () => problem(secrets)?.includes("can't be reached (ECONNREFUSED)"));
    expect(secrets.value(reference)).toBe("kept");
    vault = await FakeVault.start({ port: Number(port), rootToken });
    vault.put(page, { patterns: "new" });
    await until("Vault back", () => problem(secrets) === undefined && secrets.value(reference) === "new");
  });

  test("that is missing, denied, empty or no string is told by its reference, without a byte of any value", async () => {
    vault.put(page, { number: 4711, empty: "", other: "cnry-other" });
    vault.put("kv/denied", { key: "cnry-denied" });
    vault.denied.add("kv/denied");
    const wanted: [string, RegExp][] = [
      [`\${vault:${page}#none}`, /has no such key/],
      [`\${vault:${page}#constructor}`, /has no such key/],
      [`\${vault:${page}#number}`, /is no string/],
      [`\${vault:${page}#empty}`, /is empty/],
      ["${vault:secret/acme#key}", /nothing at this path \(404\); in KV version 2 data follows the mount/],
      ["${vault:kv/denied#key}", /denies it \(403\)/],
    ];
    const secrets = await open(wanted.map(([one]) => one));
    for (const [one, message] of wanted) {
      const said = problem(secrets, one) ?? "";
      expect(said).toMatch(message);
      expect(() => secrets.value(one)).toThrow(`${one}: ${said}`);
      expect(said).not.toMatch(/cnry|4711/);
    }
  });
});

test("Vault is asked over TLS where its certificate is of the CA that is named, and not otherwise", async () => {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const names = ["-subj", "/CN=vault", "-addext", "subjectAltName=DNS:vault.test"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, ...names], {
    stdio: "ignore",
  });
  await using overTls = await FakeVault.start({ tls: { key: await readFile(key), cert: await readFile(cert) } });
  overTls.put(page, { patterns: "over-tls" });
  const env = { VAULT_ADDR: overTls.url, VAULT_TOKEN: overTls.rootToken };
  const trusting = { ...env, VAULT_CACERT: cert };
  const named = await open([reference], { ...trusting, VAULT_TLS_SERVER_NAME: "vault.test" });
  expect(named.value(reference)).toBe("over-tls");
  const unnamed = await open([reference], trusting);
  expect(problem(unnamed)).toBe("Vault can't be reached (ERR_TLS_CERT_ALTNAME_INVALID)");
  const untrusting = await open([reference], { ...env, VAULT_TLS_SERVER_NAME: "vault.test" });
  expect(problem(untrusting)).toBe("Vault can't be reached (DEPTH_ZERO_SELF_SIGNED_CERT)");
});

test("Vault that redirects is not followed: neither token nor request goes elsewhere", async () => {
  vault.put(page, { patterns: "elsewhere" });
  await using redirecting = await FakeUpstream.start(
    ({ url }, response) => void response.writeHead(307, { location: `${vault.url}${url}` }).end(),
  );
  const secrets = await open([reference], { VAULT_ADDR: `http://127.0.0.1:${redirecting.port}` });
  expect(problem(secrets)).toContain("Vault redirects");
  expect(redirecting.requests.map(({ headers }) => headers["x-vault-token"])).toEqual([vault.rootToken]);
  expect(vault.asked).toEqual([]);
});

describe("a login at Vault", () => {
  const approle = () => ({
    VAULT_AUTH_METHOD: "approle",
    VAULT_ROLE_ID: vault.appRole.role_id,
    VAULT_SECRET_ID: vault.appRole.secret_id,
    VAULT_TOKEN: "",
  });

  test("is by token, from the environment or a file, by AppRole or by the service account of Kubernetes", async () => {
    vault.put(page, { patterns: "value" });
    const files = { token: vault.rootToken, secret: vault.appRole.secret_id, jwt: vault.kubernetes.jwt };
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), `${text}\n`);
    const file = (name: string) => join(dir, name);
    const { VAULT_SECRET_ID: _, ...byFile } = approle();
    const ways: Record<string, string>[] = [
      {},
      { VAULT_TOKEN: "", VAULT_TOKEN_FILE: file("token") },
      { VAULT_TOKEN: "wrong", BAO_TOKEN: vault.rootToken },
      approle(),
      { ...approle(), VAULT_AUTH_MOUNT: "/team/approle/" },
      { ...byFile, VAULT_SECRET_ID_FILE: file("secret") },
      { VAULT_AUTH_METHOD: "kubernetes", VAULT_ROLE: vault.kubernetes.role, VAULT_JWT_FILE: file("jwt") },
    ];
    for (const way of ways) expect((await open([reference], way)).value(reference)).toBe("value");
    expect(vault.asked.filter(({ path }) => path.endsWith("/login")).map(({ path }) => path)).toEqual([
      "auth/approle/login",
      "auth/team/approle/login",
      "auth/approle/login",
      "auth/kubernetes/login",
    ]);
  });

  test("that is refused is told without the credentials, tried less and less often, and mended without a restart", async () => {
    vault.put(page, { patterns: "value" });
    const idFile = join(dir, "secret-id");
    await writeFile(idFile, "cnry-wrong-secret-id");
    const { VAULT_SECRET_ID: _, ...byFile } = approle();
    const pages = [reference, "${vault:kv/a#k}", "${vault:kv/b#k}", "${vault:kv/c#k}"];
    const secrets = await open(pages, { ...byFile, VAULT_SECRET_ID_FILE: idFile });
    expect(problem(secrets)).toBe("Vault refuses the login by approle (400)");
    expect(vault.count("POST", "auth/approle/login")).toBe(1);
    await writeFile(idFile, vault.appRole.secret_id);
    await until("the login", () => problem(secrets) === undefined);
    expect(secrets.value(reference)).toBe("value");
  });

  test("is for all readings, its token is renewed in time, and replaced where it may live no longer or was revoked", async () => {
    vault.put(page, { patterns: "value" });
    vault.terms = { ttlS: 2, mostS: 5 };
    const secrets = await open([reference, "${vault:kv/x#y}"], approle());
    expect(vault.count("POST", "auth/approle/login")).toBe(1);
    await until("a renewal", () => vault.count("POST", "auth/token/renew-self") > 0);
    await until("another login", () => vault.count("POST", "auth/approle/login") >= 2);
    vault.terms = {};
    vault.revokeAll();
    await until("a third login", () => vault.count("POST", "auth/approle/login") >= 3);
    vault.put(page, { patterns: "newer" });
    await until("the newer value", () => secrets.value(reference) === "newer");
    expect(problem(secrets)).toBe(undefined);
  });

  test.each([
    [{ VAULT_ADDR: undefined }, /VAULT_ADDR is missing/],
    [{ VAULT_ADDR: "vault:8200" }, /VAULT_ADDR must be the https:\/\/ URL of Vault/],
    [{ VAULT_TOKEN: "" }, /to log in by token, set VAULT_TOKEN or VAULT_TOKEN_FILE/],
    [{ VAULT_AUTH_METHOD: "ldap" }, /VAULT_AUTH_METHOD must be token, approle or kubernetes/],
    [{ VAULT_SKIP_VERIFY: "true" }, /VAULT_SKIP_VERIFY is not supported/],
    [{ VAULT_REFRESH_SECONDS: "0" }, /VAULT_REFRESH_SECONDS must be a whole number of seconds from 1/],
    [{ VAULT_CACERT: "/none/ca.pem" }, /the certificate file \/none\/ca\.pem can't be read \(ENOENT\)/],
  ])("with %j in the environment is a problem that says what to mend", async (env, message) => {
    const secrets = await open([reference], env as Record<string, string>);
    expect(problem(secrets)).toMatch(message);
  });
});

describe("what Vault leases", () => {
  const leased = "${vault:database/creds/app#password}";
  const make = (time: number) => ({ password: `password-${time}` });

  test("is renewed and not read anew at each refresh", async () => {
    vault.lease("database/creds/app", { leaseS: 2, renewable: true, make });
    const secrets = await open([leased]);
    await until("renewals", () => vault.count("PUT", "sys/leases/renew") >= 2);
    expect(secrets.value(leased)).toBe("password-1");
    expect(vault.count("GET", "database/creds/app")).toBe(1);
  });

  test("is read anew before a lease ends that can't be renewed", async () => {
    vault.lease("database/creds/app", { leaseS: 2, renewable: false, make });
    const secrets = await open([leased]);
    await until("the second", () => secrets.value(leased) === "password-2");
    expect(vault.count("PUT", "sys/leases/renew")).toBe(0);
  });
});
