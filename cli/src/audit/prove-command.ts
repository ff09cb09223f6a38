import type { Command } from "commander";
import { entriesById } from "./export-entries.ts";
import { writeOutput } from "./export/output.ts";
import { connectReader } from "./reader.ts";
import { storedProof, writeProof } from "./verify/proof.ts";
import { TrailSnapshot } from "./verify/trail-database.ts";

interface Flags {
  readonly data: string;
  readonly out?: string;
  readonly force?: boolean;
}

const help = `
EVENT is the id of an event or of a call, whose events then follow each other in the output. What comes out is C2SP's
tlog-proof with the event in it; "sluice audit verify --proof FILE --key KEY" checks it without the database.`;

/** `sluice audit prove` */
export function addProveCommand(audit: Command): void {
  audit
    .command("prove")
    .description("prove that an event is in the tree that the newest checkpoint signs")
    .argument("<event>", "id of an event or of a call")
    .option("--out <file>", "instead of the standard output")
    .option("--force", "replace the file")
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .addHelpText("after", help)
    .action(run);
}

async function run(event: string, { data, out = "-", force = false }: Flags): Promise<void> {
  const { client } = await connectReader({ dataDir: data, databaseUrl: process.env["DATABASE_URL"] });
  try {
    await using snapshot = await TrailSnapshot.of(client);
    const proofs: string[] = [];
    for (const entry of await entriesById(snapshot, event)) {
      const { log, index } = entry;
      const [newest] = await snapshot.all(
        "select size, note from audit_checkpoints where log = $1 and size > $2 order by size desc limit 1",
        [log, index],
      );
      if (newest === undefined)
        throw new Error(
          `no checkpoint covers event ${index} of ${log} yet: the signer signs within seconds. Does it run?`,
        );
      const proof = await storedProof(snapshot, log, { index, size: newest["size"] as number });
      proofs.push(writeProof(entry, proof, newest["note"] as string));
    }
    if (proofs.length === 0) throw new Error(`no event or call ${event} is there, or retention has removed it`);
    await writeOutput({ file: out, force }, (output) => output.write(proofs.join("")));
  } finally {
    await client.end().catch(() => {});
  }
}
