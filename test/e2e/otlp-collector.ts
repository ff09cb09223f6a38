import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ExportedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly status?: { readonly code?: number; readonly message?: string };
}

interface ExportRequest {
  readonly resourceSpans: {
    readonly resource: {
      readonly attributes: { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: { readonly spans: Omit<ExportedSpan, "service">[] }[];
  }[];
}

/** Takes traces over OTLP/HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp). */
export class OtlpCollector implements AsyncDisposable {
  readonly spans: ExportedSpan[] = [];
  /** Everything that was exported, for canary searches. */
  everything = "";
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      this.#take(Buffer.concat(chunks).toString("utf8"));
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });

  static async start(): Promise<OtlpCollector> {
    const collector = new OtlpCollector();
    const listening = Promise.withResolvers<void>();
    collector.#server.listen(0, "127.0.0.1", listening.resolve);
    await listening.promise;
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  of(traceId: string, service: string): ExportedSpan | undefined {
    return this.spans.find((span) => span.traceId === traceId && span.service === service);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(text: string): void {
    this.everything += text;
    for (const { resource, scopeSpans } of (JSON.parse(text) as ExportRequest).resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "";
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => ({ ...span, service })));
    }
  }
}
