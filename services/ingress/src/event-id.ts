/** Where a client stands in a streamed reply: `<ingress instance>.<number of the stream>.<number of the event>`. */
export interface EventId {
  readonly stream: string;
  readonly event: number;
}

const form = /^(i[0-9a-f]{12}\.[0-9a-z]{1,11})\.(\d{1,10})$/;

/** Reads a Last-Event-ID; undefined where Sluice cannot have given it. */
export function parseEventId(text: string): EventId | undefined {
  const [, stream, event] = form.exec(text) ?? [];
  return stream === undefined || event === undefined ? undefined : { stream, event: Number(event) };
}

/** What remains of a frame after the event with this id. */
export function afterEvent(bytes: Buffer, stream: string, event: number): Buffer {
  const mark = Buffer.from(`id: ${stream}.${event}\n\n`);
  const at = bytes.indexOf(mark);
  return at === -1 ? bytes : bytes.subarray(at + mark.length);
}
