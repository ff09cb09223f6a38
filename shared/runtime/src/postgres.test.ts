import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, createMetrics } from "@sluice/telemetry";
import { TestAuthority } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { databaseOptions } from "./postgres.ts";

const reports = { log: createLog("test", "fatal"), metrics: createMetrics("test") };
const url = "postgres://sluice:secret@db.internal:5432/sluice";
let dir: string;
let ca: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-postgres-"));
  ca = join(dir, "ca.pem");
  await writeFile(ca, (await TestAuthority.create("Database")).cert);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const sslOf = (DATABASE_URL: string, DATABASE_CA_FILE?: string) =>
  databaseOptions({ DATABASE_URL, DATABASE_CA_FILE }, reports).ssl;

describe("the connection to Postgres", () => {
  it("is in clear only where nothing asks for TLS", () => {
    expect(sslOf(url)).toBe(false);
    expect(sslOf(`${url}?sslmode=disable`)).toBe(false);
    expect(sslOf(url, ca)).toMatchObject({ ca: expect.stringContaining("BEGIN CERTIFICATE") as unknown });
  });

  it("verifies certificate and name in every mode that is taken, and leaves nothing of it to the driver", () => {
    for (const mode of ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "ssl=true"]) {
      const { connectionString, ssl } = databaseOptions({ DATABASE_URL: `${url}?${mode}&keepalives=1` }, reports);
      expect(ssl).toEqual({});
      expect(connectionString).toBe(`${url}?keepalives=1`);
    }
  });

  it.each([
    ["?sslmode=prefer", "sslmode must be verify-full or disable"],
    ["?sslmode=no-verify", "sslmode must be verify-full or disable"],
    ["?ssl=no-verify", "sslmode must be verify-full or disable"],
    ["?sslrootcert=/ca.pem", "name the file of sslrootcert as DATABASE_CA_FILE"],
  ])("is refused with %s, without showing the password", (parameters, reason) => {
    expect(() => sslOf(url + parameters)).toThrow(reason);
    expect(() => sslOf(url + parameters)).not.toThrow("secret");
  });

  it("is refused where the files would not be used", () => {
    expect(() => sslOf(`${url}?sslmode=disable`, ca)).toThrow("contradicts DATABASE_CA_FILE");
  });
});
