import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serviceNames } from "@sluice/contracts";
import type { House } from "./house.ts";

/** Writes `run.json`: where everything of a running instance is, for the CLI and other programs of its owner. */
export async function writeRunFile(dataDir: string, house: House): Promise<void> {
  const { nats, redis, postgres } = house.parts;
  const run = {
    pid: process.pid,
    url: house.url,
    adminUrl: house.adminUrl,
    natsUrl: nats.url,
    // The owner's, who migrates; then of who reads the audit trail, who reads kept content too, and who keeps and erases.
    databaseUrl: postgres.url,
    readerDatabaseUrl: house.databases.reader,
    contentReaderDatabaseUrl: house.databases.contentReader,
    keeperDatabaseUrl: house.databases.keeper,
    services: house.replicas
      .filter(({ process: { running } }) => running)
      .toSorted((one, other) => serviceNames.indexOf(one.service) - serviceNames.indexOf(other.service))
      .map(({ service, number, process: { pid }, health, url }) => ({ name: service, number, pid, health, url })),
    parts: [nats, redis, postgres].map(({ name, pid, version, source }) => ({ name, pid, version, source })),
  };
  await writeFile(join(dataDir, "run.json"), `${JSON.stringify(run, null, 2)}\n`, { mode: 0o600 });
}
