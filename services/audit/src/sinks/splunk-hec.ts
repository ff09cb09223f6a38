import { headerValue } from "./header-value.ts";
import { post, refusesContent } from "./post.ts";
import { Away, type Sink, type SinkContext, type SinkOf, type Written } from "./sink.ts";

const path = "/services/collector/event";
const timeoutMs = 30_000;
const msPerSecond = 1_000;

/** Splunk's HTTP Event Collector: one JSON object per record, one after the other in a body. Its indexer acknowledgement is not waited for. */
export function splunkHecSink({ url, token, index, sourcetype }: SinkOf<"splunk-hec">, context: SinkContext): Sink {
  const { secrets, format, ca } = context;
  const endpoint = new URL(url);
  if (endpoint.pathname === "/") endpoint.pathname = path;
  const wrapped = (log: string, { at, text }: Written) =>
    JSON.stringify({
      time: at.getTime() / msPerSecond,
      source: `sluice:${log}`,
      sourcetype,
      ...(index !== undefined && { index }),
      event: format.isJson ? (JSON.parse(text) as unknown) : text,
    });
  return {
    send: async ({ log, records }, signal) => {
      const authorization = `Splunk ${headerValue(token, secrets)}`;
      try {
        await post(
          {
            url: endpoint,
            method: "POST",
            headers: { "content-type": "application/json", authorization },
            body: records.map((record) => wrapped(log, record)).join("\n"),
            timeoutMs,
            refusals: refusesContent,
            ca,
          },
          signal,
        );
      } catch (error) {
        if (error instanceof Away && /^HTTP 40[13]/.test(error.message)) secrets.again(token);
        throw error;
      }
    },
  };
}
