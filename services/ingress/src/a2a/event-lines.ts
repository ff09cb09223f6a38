import { isStreamed, type A2aOperation, type Dialect } from "@sluice/contracts";

const dataField = Buffer.from("data: ");
const errorField = Buffer.from("event: error\n");

/** Whether its client reads errors out of a stream of events alone, as clients of 0.2 and 0.3 do (JSON-RPC, status 200). */
export function readsEventsAlone({ version, binding }: Dialect, operation: A2aOperation | undefined): boolean {
  const isOld = version === "0.2" || version === "0.3";
  return isOld && binding === "JSONRPC" && operation !== undefined && isStreamed(operation);
}

/** An event that holds this; JSON has line breaks only between its tokens. */
export function dataLines(data: Buffer, id: string | undefined): Buffer {
  const end = id === undefined ? "\n\n" : `\nid: ${id}\n\n`;
  if (!data.includes(0x0a) && !data.includes(0x0d)) return Buffer.concat([dataField, data, Buffer.from(end)]);
  const lines = data.toString("utf8").split(/\r\n|\r|\n/);
  return Buffer.from(`${lines.map((line) => `data: ${line}`).join("\n")}${end}`);
}

/** The same of an error: clients of REST know it by the event's name. */
export function errorLines(data: Buffer, id?: string): Buffer {
  return Buffer.concat([errorField, dataLines(data, id)]);
}
