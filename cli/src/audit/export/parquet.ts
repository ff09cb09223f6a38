import type { TrailRow } from "@sluice/contracts";
import { ByteWriter, ParquetWriter, schemaFromColumnData } from "hyparquet-writer";
import { callColumns, type ColumnType } from "./columns.ts";
import type { Encode } from "./output.ts";

/** Memory is that of one group, and readers skip whole ones. */
const rowsPerGroup = 10_000;

const types = {
  text: "STRING",
  time: "TIMESTAMP",
  integer: "INT64",
  double: "DOUBLE",
  boolean: "BOOLEAN",
  json: "JSON",
} as const satisfies Record<ColumnType, string>;

/** Apache Parquet, Snappy inside. Times are milliseconds in UTC. */
export const encodeParquet: Encode = async (rows, output) => {
  const bytes = Object.assign(new ByteWriter(), {
    flush: async () => {
      await output.write(Buffer.from(bytes.getBytes()));
      bytes.index = 0;
    },
  });
  const schema = schemaFromColumnData({ columnData: columnsOf([]) });
  const writer = new ParquetWriter({ writer: bytes, schema, createdBy: "sluice" });
  let group: TrailRow[] = [];
  const flush = async () => {
    if (group.length > 0) await writer.write({ columnData: columnsOf(group), rowGroupSize: rowsPerGroup });
    group = [];
  };
  for await (const chunk of rows) {
    group.push(...chunk);
    if (group.length >= rowsPerGroup) await flush();
  }
  await flush();
  await writer.finish();
  await bytes.flush();
};

function columnsOf(rows: readonly TrailRow[]) {
  return callColumns.map(([name, type]) => ({
    name,
    type: types[type],
    nullable: true,
    data: rows.map((row) => valueOf(row[name], type)),
  }));
}

function valueOf(value: unknown, type: ColumnType): unknown {
  if (value === null || value === undefined) return null;
  if (type === "integer") return BigInt(value as number);
  return type === "time" ? new Date(value as string) : value;
}
