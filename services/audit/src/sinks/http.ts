import { bodyOf } from "./body.ts";
import { headerValue } from "./header-value.ts";
import { post, refusesContent } from "./post.ts";
import { Away, type Sink, type SinkContext, type SinkOf } from "./sink.ts";

/** Posts each batch: a JSON array, or lines where the format is none. */
export function httpSink({ url, headers, timeoutMs }: SinkOf<"http">, context: SinkContext): Sink {
  const { secrets, format, ca } = context;
  const references = Object.values(headers);
  return {
    send: async (batch, signal) => {
      const secretHeaders = Object.fromEntries(
        Object.entries(headers).map(([name, reference]) => [name, headerValue(reference, secrets)]),
      );
      try {
        await post(
          {
            url: new URL(url),
            method: "POST",
            headers: { "content-type": format.batchType, ...secretHeaders },
            body: bodyOf(batch, format),
            timeoutMs,
            refusals: refusesContent,
            ca,
          },
          signal,
        );
      } catch (error) {
        if (error instanceof Away && /^HTTP 40[13]/.test(error.message))
          references.forEach((each) => secrets.again(each));
        throw error;
      }
    },
  };
}
