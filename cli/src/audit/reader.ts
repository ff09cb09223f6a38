import { connect } from "@sluice/schema";
import type pg from "pg";
import { whereOf, type DatabaseAddress } from "./where.ts";

/** A connection of who may read the trail, to DATABASE_URL or to what runs in a directory. @throws Error that says what to do */
export async function connectReader(address: DatabaseAddress): Promise<{ client: pg.Client; isLocal: boolean }> {
  const { databaseUrl, isLocal } = await whereOf(address);
  const client = await connect(databaseUrl, process.env).catch((error: Error) => {
    throw new Error(
      `the audit database does not answer (${error.message}). Is Sluice running? Start it with: npm start`,
    );
  });
  return { client, isLocal };
}
