import type { Destination } from "@sluice/contracts";
import { fileSink } from "./file.ts";
import { httpSink } from "./http.ts";
import { s3Sink } from "./s3.ts";
import type { Sink, SinkContext, SinkOf } from "./sink.ts";
import { splunkHecSink } from "./splunk-hec.ts";
import { syslogSink } from "./syslog.ts";

type Openers = {
  readonly [Type in Destination["type"]]: (destination: SinkOf<Type>, context: SinkContext) => Sink;
};

/** The kinds of destinations that there are. */
const sinks: Openers = {
  http: httpSink,
  file: fileSink,
  syslog: syslogSink,
  s3: s3Sink,
  "splunk-hec": splunkHecSink,
};

/** Connects nowhere yet. */
export function openSink(destination: Destination, context: SinkContext): Sink {
  const open = sinks[destination.type] as (destination: Destination, context: SinkContext) => Sink;
  return open(destination, context);
}
